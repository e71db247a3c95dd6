"""From what a command line names (files, folders, glob patterns) to a list of image files."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence

from dassl.utils import InputError, MissingFileError
from datasets.folder import EXTENSIONS


def find_images(arguments: Sequence[str]) -> list[str]:
    """Paths in the order of the arguments, each file once.

    A file is taken whatever its ending; a folder gives the images in it and below, sorted, by their endings and without
    hidden ones; a pattern ("photos/*.png", "photos/**/*.png") what it matches, sorted.
    Raises InputError naming the argument that gives no image.
    """
    found: dict[str, None] = {}
    for argument in arguments:
        if os.path.isfile(argument):
            files = [argument]
        elif os.path.isdir(argument):
            files = _below(argument)
        else:
            matches = sorted(glob.glob(argument, recursive=True))
            files = [f for match in matches for f in (_below(match) if os.path.isdir(match) else [match])]
        if not files:
            if os.path.isdir(argument) or glob.has_magic(argument):
                raise InputError(
                    f"{argument} gives no image ({', '.join(EXTENSIONS)}); name files or a folder of them."
                )
            raise MissingFileError(f"There is no file or folder {argument}; name images that exist.")
        found |= dict.fromkeys(files)
    return list(found)


def _below(folder: str) -> list[str]:
    files = []
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        files += [
            os.path.join(where, name)
            for name in names
            if name.lower().endswith(EXTENSIONS) and not name.startswith(".")
        ]
    return sorted(files)
