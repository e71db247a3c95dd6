"""Config pairs as people write them: KEY VALUE, as CoOp's command lines have them, or KEY=VALUE, as Hydra's have."""

from __future__ import annotations

import re
from collections.abc import Iterable

KEY = r"[A-Za-z]\w*(?:\.\w+)+|[A-Z][A-Z_]{2,}"  # OPTIM.LR or SEED; optim.lr is refused later, with the right name


def apart(words: Iterable[str]) -> list[str]:
    """The words with each KEY=VALUE as two. A word after a key is its value, whatever it holds; "--" ends this."""
    found: list[str] = []
    words, value = list(words), False
    while words:
        word = words.pop(0)
        if word == "--":
            return [*found, word, *words]
        both = None if value else re.fullmatch(rf"({KEY})=(.*)", word, re.S)
        found += both.groups() if both else [word]
        value = not value and not both and re.fullmatch(KEY, word) is not None
    return found
