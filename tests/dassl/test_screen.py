"""Help of commands: what the formatter makes of many options and of a description."""

from __future__ import annotations

import argparse

from dassl.utils.screen import Screen

COMMAND = "    python thing.py --kept  # as it is, however long the line is, since it is there to be copied by a reader"
ABOUT = f"""python -m thing FILE: does a thing, and says in a line that is longer than a screen what it has done.

A paragraph in two
short lines.

{COMMAND}
"""


def help_of(options: int, monkeypatch) -> str:
    monkeypatch.setenv("COLUMNS", "80")
    parser = argparse.ArgumentParser(prog="thing", description=ABOUT, formatter_class=Screen)
    for number in range(options):
        parser.add_argument(f"--option-{number}", metavar="X")
    parser.add_argument("--needed", required=True, metavar="DIR")
    parser.add_argument("files", nargs="+", metavar="FILE", help="some files")
    return parser.format_help()


def test_few_options_are_in_the_usage(monkeypatch):
    assert "[--option-1 X]" in help_of(3, monkeypatch).partition("python")[0]


def test_of_many_the_usage_has_the_required_ones(monkeypatch):
    usage = help_of(20, monkeypatch).splitlines()[0]
    assert usage == "usage: thing [OPTION ...] --needed DIR FILE [FILE ...]"


def test_paragraphs_are_wrapped_and_commands_are_kept(monkeypatch):
    lines = help_of(3, monkeypatch).splitlines()
    assert COMMAND in lines and "A paragraph in two short lines." in lines
    assert all(len(line) < 80 for line in lines if line != COMMAND)
