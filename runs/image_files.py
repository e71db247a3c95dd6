"""Finds the image files that a command line names: files, folders and glob patterns."""

from __future__ import annotations

import glob
import logging
import os
from collections.abc import Sequence

from dassl.utils import InputError, MissingFileError
from datasets.folder import EXTENSIONS

logger = logging.getLogger(__name__)


def find_images(arguments: Sequence[str]) -> list[str]:
    """Paths of images in the order of the arguments, each file once.

    A file is used with any ending. A folder gives the images in it and below, sorted, recognised by their endings and
    without hidden ones; a warning gives the number of other files. A pattern ("photos/*.png", "photos/**/*.png") gives
    its matches, sorted. Raises InputError for an argument that gives no image.
    """
    found: dict[str, None] = {}
    others: list[str] = []
    for argument in arguments:
        if os.path.isfile(argument):
            files = [argument]
        elif os.path.isdir(argument):
            files = _below(argument, others)
        else:
            matches = sorted(glob.glob(argument, recursive=True))
            files = [f for match in matches for f in (_below(match, others) if os.path.isdir(match) else [match])]
        if not files:
            if os.path.isdir(argument) or glob.has_magic(argument):
                raise InputError(
                    f"{argument} gives no image ({', '.join(EXTENSIONS)}); name files or a folder of them."
                )
            raise MissingFileError(f"There is no file or folder {argument}; name images that exist.")
        found |= dict.fromkeys(files)
    if others:
        endings = sorted({os.path.splitext(name)[1].lower() or "no ending" for name in others})
        listed = ", ".join(endings[:5]) + (", ..." if len(endings) > 5 else "")
        logger.warning("Warning: %d files in the folders are left out, they are no images (%s)", len(others), listed)
    return list(found)


def _below(folder: str, others: list[str]) -> list[str]:
    """The images in a folder and below it; other files that are not hidden are added to `others`."""
    files: list[str] = []
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            if not name.startswith("."):
                kept = files if name.lower().endswith(EXTENSIONS) else others
                kept.append(os.path.join(where, name))
    return sorted(files)
