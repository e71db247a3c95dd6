"""Replaces given names of classes by registered ones: `CoOp@RobustPrompt` becomes CoOp."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from .rule import Rule

if TYPE_CHECKING:
    from .facts import Facts


def registered(config: Mapping[str, object], facts: Facts) -> Mapping[str, object]:
    """The registered names. Raises InputError if a name without a label may mean two classes."""
    return facts.names(config)


RULE = Rule("the registered name", registered)
