"""Runs of a suite on this machine: workers, the state of each run, time left."""
