"""python -m bench plan SUITE.yaml [--list]: the runs that it asks for, what is done, how long the rest takes."""

from __future__ import annotations

import argparse

from ..running.plan import plan_table
from ..running.state import survey
from ..suites.options import add_suite_options, open_suite


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("plan", help="what a suite asks for", description=__doc__)
    add_suite_options(parser)
    parser.add_argument("--list", action="store_true", help="list every run with id, state and commands")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    suite = open_suite(args)
    found = survey(suite.runs)
    if args.list:
        for each in suite.runs:
            print(f"{each.id}  {found[each.id].state:7}  {each}")  # noqa: T201
            for step in range(len(each.job)):
                print(f"    {each.command(step)}")  # noqa: T201
        print()  # noqa: T201
    print(plan_table(suite, found))  # noqa: T201
    for block, select in suite.waiting.items():
        text = (
            f"{block} waits for the choice of {select!r}: `python -m bench select {args.suite}` once its runs are done."
        )
        print(text)  # noqa: T201
    return 0
