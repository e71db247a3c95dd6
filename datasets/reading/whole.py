"""Checks all images of a dataset before training, and records those that could be read, by size and time of change."""

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
    """{path: error sentence} of the images that cannot be read. Only images that are new or changed since the last
    check are decoded.

    folder: the dataset's, where the file `CHECKED` is written; that it cannot be written is no error.
    """
    file = os.path.join(folder, CHECKED)
    rules = str(getattr(read_image, "rules", ""))
    known = _known(file, rules)
    stamps = {path: _stamp(path) for path in dict.fromkeys(paths)}
    todo = [path for path, stamp in stamps.items() if stamp is None or known.get(_name(path, folder)) != stamp]
    if not todo:
        return {}
    bad = unreadable(todo, "check all images")
    settled = time.time_ns() - RACY_SECONDS * 10**9
    good = {
        _name(path, folder): stamp for path, stamp in stamps.items() if path not in bad and stamp and stamp[1] < settled
    }
    try:
        with atomic_path(file) as temporary, open(temporary, "w", encoding="utf-8") as out:
            json.dump({"note": NOTE, "rules": rules, "images": {**known, **good}}, out)
    except OSError as error:
        logger.info("The list of checked images cannot be saved (%s)", error)
    return bad


def _known(file: str, rules: str) -> dict[str, list[int]]:
    """{name: [size, time of change]} from the file; empty if it is missing, damaged, or of other reading rules."""
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
