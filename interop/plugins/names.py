"""`NAME@LABEL`: names a trainer or dataset of one checkout if two have the same name.

The label is the name of the checkout's folder, or given by `--plugin LABEL=FILE`; this project's is `RobustPrompt`.
This module does not import torch, so that runs can be planned quickly.
"""

from __future__ import annotations

import re
from pathlib import Path

from dassl.config.shown import plain

__all__ = ["OURS", "as_label", "from_folder", "label_of", "plain", "take_label"]
OURS = "RobustPrompt"
_GIVEN = re.compile(r"([\w.+-]+)=(.+)", re.DOTALL)


def label_of(name: str) -> str:
    """The label of a name; "" if it has none, or this project's."""
    label = name.partition("@")[2]
    return "" if label == OURS else label


def as_label(text: str) -> str:
    """A folder's name as a label, which has only letters, digits and `_ . + -`, since it may be part of a path."""
    return re.sub(r"[^\w.+-]", "-", text).strip(".-") or "plugin"


def take_label(given: str | Path) -> tuple[str, str]:
    """(label, file) of an argument of `--plugin`; the label is "" if none is given."""
    match = _GIVEN.fullmatch(str(given))
    if match and not Path(str(given)).expanduser().is_file():
        return match[1], match[2]
    return "", str(given)


def from_folder(given: str, folder: Path) -> str:
    """An argument of `--plugin` with its path, which is relative to `folder`, made absolute."""
    label, file = take_label(given)
    path = str((folder / Path(file).expanduser()).resolve())
    return f"{label}={path}" if label else path
