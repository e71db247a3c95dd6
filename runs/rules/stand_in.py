"""DATASET.STAND_IN is a dataset, or not a part of the config."""

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
    """Raises InputError for one that is no dataset. A plugin's tables may have names of their own."""
    name = str(config[KEY] or "")
    if not name:
        return {KEY: REMOVED}
    if name not in facts.datasets and not facts.is_hosted(str(config["TRAINER.NAME"])):
        near = difflib.get_close_matches(name, facts.datasets, n=3, cutoff=0.4)
        hint = f" such as {', '.join(near)}" if near else ""
        raise InputError(f"{KEY} is {name!r}, but must be the registered name of a dataset{hint}.")
    return {}


RULE = Rule("no stand-in", left_out)
