"""Printing of this package's commands: results go to stdout, errors to stderr."""


def say(text: str = "") -> None:
    """One line (or table) for the person at the console."""
    print(text, flush=True)  # noqa: T201
