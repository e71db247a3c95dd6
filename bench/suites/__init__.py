"""From a suite's YAML file to its runs, each known by its resolved config."""
