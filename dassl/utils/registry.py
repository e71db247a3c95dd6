"""Classes by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from difflib import SequenceMatcher
from typing import Any

from .errors import NotAvailableError


class Registry:
    """Classes or functions under their own `__name__`."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._members: dict[str, Callable] = {}

    def register(self, obj: Callable | None = None, force: bool = False) -> Callable:
        """Use as decorator, `@REGISTRY.register()`, or call, `REGISTRY.register(cls)`.

        Raises KeyError if the name is taken and `force` is not set.
        """
        if obj is None:
            return lambda member: self.register(member, force=force)
        return self.admit(obj, force)

    def admit(self, obj: Callable, force: bool) -> Callable:
        """Add a member, as `register` does; subclasses may override this."""
        name = obj.__name__
        if name in self._members and not force:
            raise KeyError(f"{name} is registered already in the {self._name} registry (force=True replaces it)")
        self._members[name] = obj
        return obj

    def get(self, name: str) -> Any:
        """The class or function of that name; KeyError if there is none."""
        if name not in self._members:
            raise KeyError(f"nothing called {name} is in the {self._name} registry: {', '.join(self._members)}")
        return self._members[name]

    def registered_names(self) -> list[str]:
        """All names in the order of registration."""
        return list(self._members)

    def __contains__(self, name: str) -> bool:
        return name in self._members


def _by_similarity(name: str, candidates: Iterable[str]) -> list[str]:
    name = name.lower()
    return sorted(candidates, key=lambda other: (-SequenceMatcher(None, name, other.lower()).ratio(), other))


def get_most_similar_str_to_a_from_b(a: str, b: Iterable[str]) -> str:
    """The entry of `b` that is most like `a`."""
    return _by_similarity(a, b)[0]


def check_availability(requested: str, available: Iterable[str], what: str = "one") -> None:
    """Raise NotAvailableError (a ValueError) if `requested` is not in `available`; lists the nearest names first."""
    available = list(available)
    if requested in available:
        return
    if not available:
        raise NotAvailableError(f"The requested {what} [{requested}] is not available: none is registered")
    if not requested:
        names = ", ".join(sorted(available, key=str.casefold))
        raise NotAvailableError(f"No {what} is given; it is one of [{names}]")
    nearest = _by_similarity(requested, available)
    names = ", ".join(nearest)
    raise NotAvailableError(
        f"The requested {what} is expected to belong to [{names}], but got [{requested}] (do you mean [{nearest[0]}]?)"
    )
