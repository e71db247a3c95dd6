"""Printing of this package's commands: results go to stdout, errors to stderr."""

import sys


def say(text: str = "") -> None:
    """One line (or table) for the person at the console."""
    print(text, flush=True)  # noqa: T201


def complain(text: str) -> None:
    """One line on stderr."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201
