"""python -m bench select SUITE.yaml: chooses a value for each method among the suite's finished candidate runs.

The blocks with `select` name the candidates; the choice is written to selected.yaml in the output folder, where blocks
with `selected` find it. `python -m bench run` does the same when all candidates are done (docs/selection.md).
"""

from __future__ import annotations

import argparse

from dassl.utils.screen import Screen

from ..running.selection import told, write_choice
from ..suites.options import add_suite_options, open_suite


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("select", help="choose settings", description=__doc__, formatter_class=Screen)
    add_suite_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    print(told(write_choice(open_suite(args))))  # noqa: T201
    return 0
