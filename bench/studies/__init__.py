"""The studies: each has a command, a suite of runs, and tables and figures of its results."""
