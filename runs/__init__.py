"""What surrounds one run: its resolved config, its folder, and the record that it leaves."""
