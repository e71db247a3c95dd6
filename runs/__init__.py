"""One run: its resolved config, its folder, its results.json; and the protocols that make a run's arguments."""
