"""What a rule is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .facts import Facts

REMOVED = object()  # in place of a value: the run's config does not have the key


class Rule(NamedTuple):
    """name: a few words on what it does. changes: (config, facts) -> {key: new value, or REMOVED}; it looks at both
    and changes neither."""

    name: str
    changes: Callable[[Mapping[str, object], Facts], Mapping[str, object]]

    @property
    def origin(self) -> str:
        """Said of the values that it sets."""
        return f"rule: {self.name}"
