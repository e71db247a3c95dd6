"""Many runs: launching them, and turning their results into tables and plots."""
