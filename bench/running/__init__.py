"""Runs at work on this machine: jobs, workers, what is done and what failed, time left."""
