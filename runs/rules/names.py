"""Registered names in place of those that are given: `CoOp@RobustPrompt` is CoOp."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from .rule import Rule

if TYPE_CHECKING:
    from .facts import Facts


def registered(config: Mapping[str, object], facts: Facts) -> Mapping[str, object]:
    """Raises InputError where a plain name may mean two classes."""
    return facts.names(config)


RULE = Rule("the registered name", registered)
