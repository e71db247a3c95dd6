"""Checks the values of a suite's file. Errors name the place, which the caller gives."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Sequence

from dassl.utils import InputError
from runs.settled import check_keys as check_config_keys
from runs.words import LARGEST_SEED

from .resolved import Resolver

NAMES = {dict: "KEY: VALUE lines", list: "a list", str: "a text", type(None): "missing"}


def pairs_of(tree: object, place: str, resolver: Resolver) -> dict[str, str]:
    """{KEY: VALUE} as texts. Raises InputError for unknown keys and wrong values."""
    check_type(tree, dict, place)
    check_config_keys(map(str, tree), place)
    for key, value in tree.items():
        resolver.value(str(key), value, place)
    return {str(key): text_of(value) for key, value in tree.items()}


def text_of(value: object) -> str:
    """A value as it is typed after a config key."""
    return value if isinstance(value, str) else str(value)


def listed(tree: dict, key: str, place: str) -> list:
    """The list at a key, where a single name stands for a list of one."""
    values = tree[key]
    values = [values] if isinstance(values, str) else values
    check_type(values, list, f"{place}, {key}")
    if not values:
        raise InputError(f"{place}, {key}: is empty; name at least one.")
    return values


def joined(values: Sequence) -> list:
    """The values, a list among them replaced by its own: a YAML alias of a list, with more names behind it."""
    return [name for each in values for name in (each if isinstance(each, list) and each else [each])]


def numbers(values: object, place: str, least: float, whole: bool = False) -> tuple:
    """A number or a list of numbers as a tuple. Raises InputError for wrong or repeated numbers."""
    values = values if isinstance(values, list) else [values]
    if not values:
        raise InputError(f"{place}: is empty; name at least one.")
    for value in values:
        fits = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
        if not fits or not least <= value <= LARGEST_SEED:
            what = "whole number" if whole else "number"
            most = ", below 2**63" if fits and value > LARGEST_SEED else ""
            raise InputError(f"{place}: {value!r} must be a {what} of at least {least}{most}.")
    return once(values, place)


def whole_numbers(values: object, place: str, least: int) -> tuple[int, ...]:
    return numbers(values, place, least, whole=True)


def rate_list(values: object, place: str) -> tuple[float, ...]:
    """Rates of label noise, which are shares of the labels below 1."""
    found = tuple(float(rate) for rate in numbers(values, place, 0))
    if wrong := [rate for rate in found if rate >= 1]:
        raise InputError(f"{place}: {wrong[0]:g} must be below 1; a rate is a share of the labels.")
    return found


def once(values: Iterable, place: str, name: Callable[[object], str] = str) -> tuple:
    found = tuple(values)
    for i, value in enumerate(found):
        if value in found[:i]:
            raise InputError(f"{place}: {name(value)} is there twice; leave one out.")
    return found


def check_keys(tree: dict, known: Sequence[str], place: str) -> None:
    for key in tree:
        if key not in known:
            raise InputError(f"{place}: {unknown('key', key, known)}")


def check_name(value: object, place: str) -> str:
    """Raises InputError unless the value can be the name of a folder, without a path."""
    check_type(value, str, place)
    if not re.fullmatch(r"[^/\\\x00-\x1f]{1,100}", value) or value.strip(". ") == "":
        raise InputError(f"{place}: {value[:60]!r} names a folder, so it must be 1 to 100 characters without / or \\.")
    return value


def check_type(value: object, wanted: type, place: str) -> None:
    if not isinstance(value, wanted):
        what = NAMES[wanted]
        raise InputError(f"{place}: must be {what}, but is {kind(value)}.")


def kind(value: object) -> str:
    return NAMES.get(type(value), repr(value))


def unknown(what: str, name: object, known: Iterable[str]) -> str:
    known = list(known)
    if not known:
        return f"there is no {what} {name!r}, and no other either."
    near = difflib.get_close_matches(str(name), known, n=3, cutoff=0.4)
    return f"there is no {what} {name!r}; known, nearest first: {', '.join(dict.fromkeys([*near, *known]))}."
