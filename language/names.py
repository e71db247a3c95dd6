"""The class names of the known datasets, and how two names are compared."""

from __future__ import annotations

import os
import re
from pathlib import Path

from .readers import read_classlist
from .stems import cache_stem, dataset_stem

CLASSNAMES = Path(__file__).parent / "classnames"


def class_names(dataset: str) -> list[str] | None:
    """Class names in label order, as the dataset has them (registry name or YAML stem); None for an unknown dataset."""
    for stem in dict.fromkeys((dataset_stem(dataset), cache_stem(dataset))):
        file = CLASSNAMES / f"{stem}.txt"
        if os.path.isfile(file):
            return read_classlist(file)
    return None


def halves(names: list[str]) -> tuple[list[str], list[str]]:
    """Base and new classes: the first half of the labels, the larger one if they are odd in number, and the rest."""
    middle = (len(names) + 1) // 2
    return names[:middle], names[middle:]


def fold(name: str) -> str:
    """A name regardless of case, hyphens, underscores and simple plurals: "Polka_Dots" is "polka dot"."""
    return " ".join(_singular(word) for word in re.split(r"[\s_-]+", name.casefold().strip()))


def _singular(word: str) -> str:
    word = re.sub(r"(ss|x|ch|sh|z)es$", r"\1", re.sub(r"(?<=..)ies$", "y", word))
    return re.sub(r"(?<=...)(?<!s)s$", "", word)
