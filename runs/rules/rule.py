"""The type of a rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .facts import Facts

REMOVED = object()  # the value by which a rule removes a key from the run's config


class Rule(NamedTuple):
    """A rule. name: a few words on what it does. changes: (config, facts) -> {key: new value, or REMOVED}; it must not
    modify its arguments."""

    name: str
    changes: Callable[[Mapping[str, object], Facts], Mapping[str, object]]

    @property
    def origin(self) -> str:
        """The origin that is shown for values set by this rule."""
        return f"rule: {self.name}"
