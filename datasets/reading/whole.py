"""Looks at all images of a set before a training, and remembers by size and time which ones were whole."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Sequence

from dassl.utils import atomic_path, read_image, read_json

from .images import unreadable

logger = logging.getLogger(__name__)

CHECKED = "checked_images.json"  # beside the images
NOTE = "images that could be read, with size and time of change; may be deleted"
RACY_SECONDS = 2  # a file changed so recently may change again within one tick of the file system's clock


def bad_images(paths: Sequence[str], folder: str) -> dict[str, str]:
    """{path: sentence} of the images that cannot be read. Only what is new or changed since the last time is decoded.

    folder: the set's, where the file `CHECKED` is kept; without an error if it cannot be written.
    """
    file = os.path.join(folder, CHECKED)
    rules = str(getattr(read_image, "rules", ""))
    known = _known(file, rules)
    stamps = {path: _stamp(path) for path in dict.fromkeys(paths)}
    todo = [path for path, stamp in stamps.items() if stamp is None or known.get(_name(path, folder)) != stamp]
    if not todo:
        return {}
    bad = unreadable(todo, "look at all images")
    settled = time.time_ns() - RACY_SECONDS * 10**9
    good = {
        _name(path, folder): stamp for path, stamp in stamps.items() if path not in bad and stamp and stamp[1] < settled
    }
    try:
        with atomic_path(file) as temporary, open(temporary, "w", encoding="utf-8") as out:
            json.dump({"note": NOTE, "rules": rules, "images": {**known, **good}}, out)
    except OSError as error:
        logger.info("Which images were read is not kept (%s)", error)
    return bad


def _known(file: str, rules: str) -> dict[str, list[int]]:
    """{name: [size, time of change]} as kept; empty without a file, for a damaged one, and for other reading rules."""
    try:
        kept = read_json(file)
        images = kept["images"] if kept["rules"] == rules else {}
        return {str(name): [int(size), int(at)] for name, (size, at) in images.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _stamp(path: str) -> list[int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns]


def _name(path: str, folder: str) -> str:
    return os.path.relpath(path, folder).replace(os.sep, "/")
