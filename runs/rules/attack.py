"""Removes ATTACK.* and TEST.ADV_SET from the config of a run without attack, so that they do not identify it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from dassl.utils import InputError

from .rule import REMOVED, Rule

if TYPE_CHECKING:
    from .facts import Facts

SET = "TEST.ADV_SET"
MAKE = "make"  # the value by which the set that ATTACK.* describes is made and used


def left_out(config: Mapping[str, object], facts: Facts) -> dict[str, object]:
    """The keys to remove. Raises InputError for keys of ATTACK.* that are set but have no effect."""
    keys = [key for key in config if key.startswith("ATTACK.")]
    changed = {key for key in keys if key in facts.defaults and config[key] != facts.defaults[key]}
    spec = config[SET]
    if spec and spec != MAKE:
        changed -= {"ATTACK.DIR", "ATTACK.MODE"}
    if changed and spec != MAKE:
        raise InputError(
            f"{', '.join(sorted(changed))} has no effect {'on a set that is made' if spec else 'without an attack'}; "
            "TEST.ADV_SET make makes and takes the set that ATTACK.* describes."
        )
    return {} if spec else dict.fromkeys([SET, *keys], REMOVED)


RULE = Rule("no attack", left_out)
