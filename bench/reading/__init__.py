"""Reads results.json files into one table: finds them, separates runs with different settings, averages over seeds."""
