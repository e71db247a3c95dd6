"""python -m bench plan SUITE.yaml [--list]: the runs that it asks for, what is done, how long the rest takes.

The time is that of the runs that have ended, by block and method. Where none has, --measure trains one of them for 2
and for 4 epochs, here and now, and guesses from that; the guess is kept beside the runs, and marked by ~.
"""

from __future__ import annotations

import argparse

from dassl.utils.screen import Screen

from ..running.plan import plan_table, unmeasured
from ..running.state import survey
from ..running.trouble import check_writable
from ..suites.options import add_suite_options, open_suite


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("plan", help="what a suite asks for", description=__doc__, formatter_class=Screen)
    add_suite_options(parser)
    parser.add_argument("--list", action="store_true", help="list every run with id, state and commands")
    parser.add_argument("--measure", action="store_true", help="time short trainings where no run has ended")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    suite = open_suite(args)
    found = survey(suite.runs)
    if args.measure:
        from ..running.benchmark import measure

        check_writable(suite.home)
        measure(suite, unmeasured(suite, found), lambda line: print(line, flush=True))  # noqa: T201
        print()  # noqa: T201
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
