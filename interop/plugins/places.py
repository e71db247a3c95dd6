"""Finds the checkout of a plugin file: the folder that its imports start from, and its configs.

Only paths are looked at, so that many runs can be planned without importing a plugin.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from dassl.utils import InputError

from .names import OURS, as_label, take_label

PROJECT = Path(__file__).resolve().parents[2]
USUAL = ("trainers", "datasets")  # packages in a checkout of the field even where they have no __init__.py


MARKS = ("train.py", "configs", "clip", ".git")  # files and folders that lie beside them in a checkout


class Place(NamedTuple):
    """A plugin `file`, which is module `module` of the checkout at `root`, where its absolute imports start.

    label: the part of its classes' names after the @ (`CoOp@label`), by default the name of the checkout's folder.
    """

    file: Path
    root: Path
    module: str
    label: str


def place_of(path: str | Path) -> Place:
    """The place of a FILE or LABEL=FILE. Raises InputError if it is no Python file, or the label is this project's."""
    label, name = take_label(path)
    file = Path(name).expanduser().resolve()
    if not os.path.isfile(file) or file.suffix != ".py":
        raise InputError(
            f"--plugin {path}: there is no Python file at {file}; give the path of a trainer file, or LABEL=FILE."
        )
    if label == OURS:
        raise InputError(f"--plugin {path}: {OURS} stands for this project; give the file another label.")
    root = _root(file)
    parts = [re.sub(r"\W", "_", part) for part in file.relative_to(root).with_suffix("").parts]
    return Place(file, root, ".".join(parts), label or as_label(root.name))


def _root(file: Path) -> Path:
    """The folder that a checkout's imports start from: the one with trainers/ or datasets/ above the file (at any
    depth, with or without an __init__.py), else the one with a train.py, else the file's own folder."""
    root = file.parent
    for folder in file.parents:
        if folder.name in USUAL and (folder == file.parent or _is_package_of_checkout(folder)):
            root = folder.parent
            break
    else:
        near = file.parents[:3]
        root = next((folder for folder in near if folder != PROJECT and (folder / "train.py").is_file()), root)
    while (root / "__init__.py").is_file():
        root = root.parent
    return root


def _is_package_of_checkout(folder: Path) -> bool:
    """Whether a folder `trainers` or `datasets` is a package of a checkout, and not a data folder of that name."""
    return any(folder.glob("*.py")) or any((folder.parent / mark).exists() for mark in MARKS)


def is_ours(root: Path, module: str) -> bool:
    """Whether the module belongs to this project, and is not just a file that lies in its folder."""
    top = module.partition(".")[0]
    return root == PROJECT and ((PROJECT / top / "__init__.py").is_file() or top in ("train", "predict"))


def config_of(kind: str, name: str, plugins: Iterable[str] = (), label: str = "") -> Path:
    """The path of configs/<kind>/<name> in this project or a plugin's checkout: the first that exists.

    This project's is relative to its folder, and is also given if none exists. label: a checkout to look in first.
    """
    own = Path("configs", kind, name)
    places = [place_of(plugin) for plugin in plugins]
    theirs = [place.root / own for place in places if place.label == label]
    files = [*theirs, PROJECT / own, *(place.root / own for place in places)]
    found = next((file for file in files if os.path.isfile(file)), PROJECT / own)  # False for a name of any length
    return own if found == PROJECT / own else found
