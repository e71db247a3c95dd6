"""Removes the keys of another image tower from the config of a run without one, so that they do not identify it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from dassl.utils import InputError

from .rule import REMOVED, Rule

if TYPE_CHECKING:
    from .facts import Facts

WEIGHTS, KEY = "MODEL.BACKBONE.VISUAL_WEIGHTS", "MODEL.BACKBONE.VISUAL_WEIGHTS_KEY"


def left_out(config: Mapping[str, object], facts: Facts) -> dict[str, object]:
    """The keys to remove. Raises InputError for VISUAL_WEIGHTS_KEY without a file."""
    if config[WEIGHTS]:
        return {}
    if config[KEY]:
        raise InputError(f"{KEY} has no effect without {WEIGHTS}.")
    return dict.fromkeys([WEIGHTS, KEY], REMOVED)


RULE = Rule("no other image tower", left_out)
