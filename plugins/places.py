"""Where a plugin file belongs: the folder that its imports start from, and the configs that lie there.

Paths alone, so that many runs can be planned without importing a plugin.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from dassl.utils import InputError

PROJECT = Path(__file__).resolve().parent.parent
USUAL = ("trainers", "datasets")  # packages in a checkout of the field even where they have no __init__.py


class Place(NamedTuple):
    """`file` is module `module` of the checkout at `root`: absolute imports of the file start there."""

    file: Path
    root: Path
    module: str


def place_of(path: str | Path) -> Place:
    """Raises InputError when there is no Python file."""
    file = Path(path).expanduser().resolve()
    if not file.is_file() or file.suffix != ".py":
        raise InputError(f"--plugin {path}: there is no Python file at {file}; give the path of a trainer file.")
    root, parts = file.parent, [re.sub(r"\W", "_", file.stem)]
    while (root / "__init__.py").is_file() or (len(parts) == 1 and root.name in USUAL):
        parts.insert(0, root.name)
        root = root.parent
    return Place(file, root, ".".join(parts))


def is_ours(root: Path, module: str) -> bool:
    """Is the module one of this project's own, rather than of a file that happens to lie in its folder?"""
    top = module.partition(".")[0]
    return root == PROJECT and ((PROJECT / top / "__init__.py").is_file() or top in ("train", "predict"))


def config_of(kind: str, name: str, plugins: Iterable[str] = ()) -> Path:
    """configs/<kind>/<name> of this project, seen from its folder, or of a plugin's checkout; the first that exists.

    Where none exists, this project's.
    """
    own = Path("configs", kind, name)
    if (PROJECT / own).is_file():
        return own
    found = (place_of(plugin).root / own for plugin in plugins)
    return next((file for file in found if file.is_file()), own)
