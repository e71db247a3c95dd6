"""A run without another image tower leaves its keys out of its config: they do not change which run it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from dassl.utils import InputError

from .rule import REMOVED, Rule

if TYPE_CHECKING:
    from .facts import Facts

WEIGHTS, KEY = "MODEL.BACKBONE.VISUAL_WEIGHTS", "MODEL.BACKBONE.VISUAL_WEIGHTS_KEY"


def left_out(config: Mapping[str, object], facts: Facts) -> dict[str, object]:
    """Raises InputError for a key without a file that it could be in."""
    if config[WEIGHTS]:
        return {}
    if config[KEY]:
        raise InputError(f"{KEY} has no effect without {WEIGHTS}.")
    return dict.fromkeys([WEIGHTS, KEY], REMOVED)


RULE = Rule("no other image tower", left_out)
