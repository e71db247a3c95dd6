"""The allowed values of config keys: `Domain`, declared beside a key's default, and `check_value`.

A class that brings config keys (a trainer, a data set) declares them beside its `config_defaults` as `config_domains`,
{dotted key: Domain}. Keys without a declared domain are checked for their type alone, as upstream does.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from dassl.utils.errors import InputError

LARGEST = 2**31 - 1  # the bound of whole numbers without a narrower one


@dataclass(frozen=True)
class Domain:
    """The values of a key. Plain data, so that it can be kept as JSON (`to_data`, `from_data`).

    kind: text, flag (True or False), whole (a whole number), number (a finite one), list (each entry of `item`).
    choices: the only allowed values. least, most, above, below: bounds. odd: no even numbers. lengths: how many
    entries a list may have; empty: any number of them, but at least `fewest`. rising: in ascending order.
    filled: a text may not be empty. blank: a text may be "" for none; a blank in YAML and None mean the same.
    words: the description in messages, in place of one made from these fields.
    """

    kind: str
    choices: tuple = ()
    least: float | None = None
    most: float | None = None
    above: float | None = None
    below: float | None = None
    odd: bool = False
    lengths: tuple[int, ...] = ()
    fewest: int = 0
    rising: bool = False
    item: Domain | None = None
    filled: bool = False
    blank: bool = False
    words: str = ""

    def fits(self, value: object) -> bool:
        """Whether the value is allowed."""
        if self.kind == "list":
            return isinstance(value, (list, tuple)) and self._entries_fit(value)
        if self.kind == "flag":
            return isinstance(value, bool)
        if self.choices:
            return type(value) is type(self.choices[0]) and value in self.choices
        if self.kind == "text":
            return isinstance(value, str) and not (self.filled and not value.strip())
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        return (self.kind != "whole" or isinstance(value, int)) and self._within(value)

    def _entries_fit(self, values: Sequence) -> bool:
        if len(values) < self.fewest or (self.lengths and len(values) not in self.lengths):
            return False
        fit = self.item is None or all(map(self.item.fits, values))
        return fit and not (self.rising and any(a > b for a, b in zip(values, values[1:], strict=False)))

    def _within(self, value: float) -> bool:
        return (
            (math.isfinite(value) if isinstance(value, float) else abs(value) < 2**1000)
            and (self.least is None or value >= self.least)
            and (self.most is None or value <= self.most)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
            and not (self.odd and value % 2 == 0)
        )

    def __str__(self) -> str:
        """The allowed values in words, to complete "KEY must be ..."."""
        if self.words:
            return self.words
        if self.choices:
            named = [str(choice) for choice in self.choices if choice != ""]
            none = ', or "" for none' if "" in self.choices else ""
            return ("one of " if len(named) > 1 else "") + ", ".join(named) + none
        if self.kind == "list":
            count = f"{' or '.join(map(str, self.lengths))} " if self.lengths else "1 or more " if self.fewest else ""
            return f"a list of {count}{'rising ' if self.rising else ''}values, each {self.item}"
        if self.kind in ("text", "flag"):
            return "True or False" if self.kind == "flag" else "a text" if not self.filled else "a text, not empty"
        bounds = (("above", self.above), ("at least", self.least), ("below", self.below), ("at most", self.most))
        told = [f"{words} {bound:g}" for words, bound in bounds if bound is not None and abs(bound) < LARGEST]
        what = {"whole": "whole number", "number": "finite number"}[self.kind]
        return f"{'an odd' if self.odd else 'a'} {what} {' and '.join(told)}".strip()

    def to_data(self) -> dict:
        """The fields as JSON values."""
        return asdict(self)

    @classmethod
    def from_data(cls, data: Mapping) -> Domain:
        """The domain whose fields `to_data` gave."""
        item = data["item"] and cls.from_data(data["item"])
        return cls(**{**data, "choices": tuple(data["choices"]), "lengths": tuple(data["lengths"]), "item": item})


FLAG = Domain("flag")
TEXT = Domain("text")
FILLED = Domain("text", filled=True)
OPTIONAL = Domain("text", blank=True)


def choice(*values: str | int) -> Domain:
    """One of these values. If "" is among them, a blank or None means it."""
    return Domain("text" if isinstance(values[0], str) else "whole", choices=values, blank="" in values)


def whole(least: int = -LARGEST, most: int = LARGEST, odd: bool = False) -> Domain:
    """A whole number from `least` to `most`."""
    return Domain("whole", least=least, most=most, odd=odd)


def number(
    least: float | None = None, most: float | None = None, above: float | None = None, below: float | None = None
) -> Domain:
    """A finite number within these bounds."""
    return Domain("number", least=least, most=most, above=above, below=below)


def list_of(item: Domain, *lengths: int, fewest: int = 0, rising: bool = False) -> Domain:
    """A list or tuple of values of `item`. lengths: how many there may be; empty: at least `fewest`."""
    return Domain("list", item=item, lengths=lengths, fewest=fewest, rising=rising)


SHARE = number(0, 1)  # a probability or a fraction
NOT_NEGATIVE = number(0)
POSITIVE = number(above=0)
# Seeds that torch and NumPy accept.
SEED = Domain("whole", least=-(2**63), below=2**63, words="a whole number below 2**63 (negative: none is set)")


def shown(value: object) -> str:
    """The value as messages show it, at most 200 characters."""
    text = "blank (None)" if value is None else repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


def check_value(key: str, value: object, domain: Domain, where: str = "") -> None:
    """Raises InputError unless `value` is of the domain. where: the file that sets it; empty: the command line."""
    if domain.fits(value):
        return
    place = f" in {where}" if where else ""
    near = difflib.get_close_matches(str(value), [str(c) for c in domain.choices], n=1)
    hint = f" (do you mean {near[0]}?)" if near else ""
    raise InputError(f"{key} is {shown(value)}{place}, but must be {domain}{hint}.")


def check_config(cfg: Mapping, domains: Mapping[str, Domain]) -> None:
    """`check_value` of every key of `domains` that `cfg` has."""
    for key, domain in domains.items():
        node: object = cfg
        for part in key.split("."):
            if not isinstance(node, Mapping) or part not in node:
                break
            node = node[part]
        else:
            check_value(key, node, domain)
