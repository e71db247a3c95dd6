"""Finds the checkout whose methods and datasets the Python interface uses, and makes its packages importable.

Packages named `datasets` and `trainers` belong to other projects too and are never installed: they are the checkout's.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path

from dassl.utils import InputError

OWN = Path(__file__).resolve().parent.parent
PARTS = ("robustprompt/__main__.py", "train.py", "runs/__init__.py", "configs/suites")  # what a checkout has
OURS = ("attacks", "datasets", "interop", "language", "robustness", "runs", "trainers")  # packages never installed
VERSION = re.compile(r'^__version__ = "(.+)"', re.M)


def find(own: Path = OWN, here: Path | None = None) -> Path:
    """The checkout that this package lies in (run from there, or installed by `pip install -e`); else the one that the
    current folder, `here`, lies in.

    Raises InputError if there is neither, and if the latter is of another version than the installed package.
    """
    if _is_checkout(own):
        return own
    here = (here or Path.cwd()).resolve()
    found = next((folder for folder in (here, *here.parents) if _is_checkout(folder)), None)
    if found is None:
        raise InputError(
            f"{here} is not in a checkout of RobustPrompt, which has the methods and datasets: start there "
            "(os.chdir), or install the checkout by `pip install -e CHECKOUT`."
        )
    installed, there = (_version(folder) for folder in (own, found))
    if installed != there:
        raise InputError(
            f"The installed robustprompt is {installed}, but the checkout {found} is {there}: "
            f"`pip install -e {found}` takes the checkout's."
        )
    return found


def enter(root: Path | None = None) -> Path:
    """Put the checkout first on the path of imports, and return its folder.

    Raises InputError as `find` does, and if this process has imported another project's package of the same name.
    """
    root = root or find()
    if foreign := strangers(root, sys.modules):
        name = foreign[0]
        raise InputError(
            f"Another package called {name} is imported already ({sys.modules[name].__file__}), and this project has "
            "one of that name: restart, and use robustprompt before it or in a notebook of its own."
        )
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    return root


def strangers(root: Path, imported: Iterable[str]) -> list[str]:
    """Names in `OURS` that are imported from elsewhere than the checkout."""
    files = {name: getattr(sys.modules.get(name), "__file__", None) for name in OURS if name in imported}
    return [name for name, file in files.items() if file and root not in Path(file).resolve().parents]


def _is_checkout(folder: Path) -> bool:
    return all((folder / part).exists() for part in PARTS)


def _version(folder: Path) -> str:
    found = VERSION.search((folder / "clipkit" / "__init__.py").read_text(encoding="utf-8"))
    return found[1] if found else "?"
