"""A number with its noun: "1 run", "2 runs"."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """ "0 runs", "1 run", "2 runs". noun: in the singular; it takes an s in the plural."""
    return f"{number} {noun}{'s' * (number != 1)}"
