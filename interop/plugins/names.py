"""`NAME@CHECKOUT`: whose trainer or dataset is meant, where two of them have one name.

The label is the name of the checkout's folder, or the one that is given: `--plugin LABEL=FILE`. `NAME@RobustPrompt` is
this project's. Names are taken apart here without an import of torch, so that plans can be made of them.
"""

from __future__ import annotations

import re
from pathlib import Path

from dassl.config.shown import plain

__all__ = ["OURS", "as_label", "from_folder", "label_of", "plain", "take_label"]
OURS = "RobustPrompt"
_GIVEN = re.compile(r"([\w.+-]+)=(.+)", re.DOTALL)


def label_of(name: str) -> str:
    """The label; "" for a name without one, and for this project's own."""
    label = name.partition("@")[2]
    return "" if label == OURS else label


def as_label(text: str) -> str:
    """A folder's name as a label: letters, digits and `_ . + -`, so that it may be part of a path."""
    return re.sub(r"[^\w.+-]", "-", text).strip(".-") or "plugin"


def take_label(given: str | Path) -> tuple[str, str]:
    """(label, file) of what follows `--plugin`; the label is "" where none is given."""
    match = _GIVEN.fullmatch(str(given))
    if match and not Path(str(given)).expanduser().is_file():
        return match[1], match[2]
    return "", str(given)


def from_folder(given: str, folder: Path) -> str:
    """What follows `--plugin`, with a path that begins at `folder` made absolute."""
    label, file = take_label(given)
    path = str((folder / Path(file).expanduser()).resolve())
    return f"{label}={path}" if label else path
