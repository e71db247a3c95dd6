"""One method a file. Importing this package registers every trainer in it (see `trainers/shared/discovery.py`)."""

from dassl.utils.moved import keep_old_paths

from .shared import top5  # noqa: F401  registers the evaluator Top5
from .shared.discovery import discover
from .shared.moved import MOVED

keep_old_paths(__name__, MOVED)
discover()
