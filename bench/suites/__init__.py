"""Reads a suite's YAML file into its runs, each identified by its resolved config."""
