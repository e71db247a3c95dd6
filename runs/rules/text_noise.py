"""Removes TEST.TEXT_NOISE.* from the config of a run with clean text, so that they do not identify it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from dassl.utils import InputError

from .rule import REMOVED, Rule

if TYPE_CHECKING:
    from .facts import Facts

GROUP = "TEST.TEXT_NOISE."


def left_out(config: Mapping[str, object], facts: Facts) -> dict[str, object]:
    """The keys to remove. Raises InputError for keys of TEST.TEXT_NOISE that are set but have no effect."""
    keys = [key for key in config if key.startswith(GROUP)]
    if not keys or config[GROUP + "KIND"]:
        return {}
    if changed := sorted(key for key in keys if config[key] != facts.defaults.get(key, config[key])):
        raise InputError(f"{', '.join(changed)} has no effect without a kind of noise; set {GROUP}KIND.")
    return dict.fromkeys(keys, REMOVED)


RULE = Rule("no text noise", left_out)
