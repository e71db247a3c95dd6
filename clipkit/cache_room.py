"""Limits the size of the folder of cached features (ROBUSTPROMPT_CACHE_GB): the least recently used go first."""

from __future__ import annotations

import contextlib
import logging
import math
import os
from pathlib import Path

from .errors import InputError

logger = logging.getLogger(__name__)

VARIABLE, DEFAULT_GB = "ROBUSTPROMPT_CACHE_GB", 20.0
SUFFIXES = (".safetensors", ".features", ".images")  # files that may be removed: runs compute them anew


def limit() -> int:
    """The most bytes that cached features may take; 0: nothing is kept. Raises InputError unless it is a number."""
    said = os.environ.get(VARIABLE, "").strip()
    try:
        gigabytes = float(said) if said else DEFAULT_GB
    except ValueError:
        gigabytes = math.nan
    if not 0 <= gigabytes < math.inf:
        raise InputError(f"{VARIABLE} is {said!r}, but must be a number of gigabytes from 0, such as 50.")
    return int(gigabytes * 1e9)


def cached_files(root: Path) -> list[tuple[float, int, Path]]:
    """(time of last use, bytes, path) of the cached files in the folder, the longest unused first."""
    found = []
    try:
        with os.scandir(root) as entries:
            for entry in entries:
                if entry.name.endswith(SUFFIXES) and not entry.name.startswith("."):
                    with contextlib.suppress(OSError):  # another process may have removed it
                        stat = entry.stat()
                        found.append((stat.st_mtime, stat.st_size, Path(entry.path)))
    except OSError:
        return []
    return sorted(found)


def used(path: Path) -> None:
    """Note that the file was used now."""
    with contextlib.suppress(OSError):  # the folder of another user may be read-only
        os.utime(path)


def make_room(root: Path, size: int, keep: Path) -> bool:
    """Removes files of the folder, the least recently used first, until `size` more bytes fit.

    keep: the file that these bytes are for; it is never removed. Returns False if they do not fit beside it alone.
    A process that has a removed file open can still read it; later ones compute its features anew.
    """
    most, files = limit(), cached_files(root)
    own = sum(bytes_ for _, bytes_, path in files if path == keep)
    if own + size > most:
        return False
    total = size + sum(bytes_ for _, bytes_, _ in files)
    for _, bytes_, path in files:
        if total <= most:
            break
        if path != keep:
            with contextlib.suppress(OSError):
                path.unlink()
                logger.info("Removed %s, the least recently used file, to make room in the cache (%s)", path, VARIABLE)
            total -= bytes_
    return True
