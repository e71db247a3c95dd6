"""Removes TEST.CORRUPTION.* from the config of a run on clean images, so that they do not identify it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from dassl.utils import InputError

from .rule import REMOVED, Rule

if TYPE_CHECKING:
    from .facts import Facts

GROUP = "TEST.CORRUPTION."


def left_out(config: Mapping[str, object], facts: Facts) -> dict[str, object]:
    """The keys to remove. Raises InputError for keys of TEST.CORRUPTION that are set but have no effect."""
    keys = [key for key in config if key.startswith(GROUP)]
    if not keys or config[GROUP + "NAME"]:
        return {}
    if changed := sorted(key for key in keys if config[key] != facts.defaults.get(key, config[key])):
        raise InputError(f"{', '.join(changed)} has no effect without a corruption; set {GROUP}NAME.")
    return dict.fromkeys(keys, REMOVED)


RULE = Rule("no corruption", left_out)
