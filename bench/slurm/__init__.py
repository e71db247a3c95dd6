"""Runs the runs of a suite as tasks of Slurm arrays (docs/cluster.md)."""
