"""Runs as tasks of Slurm arrays (docs/cluster.md)."""
