"""The commands of `python -m datasets`."""
