"""From results.json files to one table: found, read, told apart, averaged over seeds."""
