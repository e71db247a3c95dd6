"""Checks DATASET.STAND_IN, and removes it from the config if it is empty."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from dassl.utils import InputError

from .rule import REMOVED, Rule

if TYPE_CHECKING:
    from .facts import Facts

KEY = "DATASET.STAND_IN"


def left_out(config: Mapping[str, object], facts: Facts) -> dict[str, object]:
    """The key to remove. Raises InputError for a value that is no dataset; a plugin's tables may have other names."""
    name = str(config[KEY] or "")
    if not name:
        return {KEY: REMOVED}
    if name not in facts.datasets and not facts.is_hosted(str(config["TRAINER.NAME"])):
        near = difflib.get_close_matches(name, facts.datasets, n=3, cutoff=0.4)
        hint = f" such as {', '.join(near)}" if near else ""
        raise InputError(f"{KEY} is {name!r}, but must be the registered name of a dataset{hint}.")
    return {}


RULE = Rule("no stand-in", left_out)
