"""One method a file. Importing this package registers every trainer in it (see `trainers/discovery.py`)."""

from .discovery import discover

discover()
