"""python -m bench plan SUITE.yaml [--list]: the runs that it asks for, what is done, how long the rest takes."""

from __future__ import annotations

import argparse
from collections import Counter

from tabulate import tabulate

from ..running.estimate import seconds_of, time_left
from ..running.state import survey
from ..suites.options import add_suite_options, open_suite


def add_parser(subparsers) -> None:
    parser = subparsers.add_parser("plan", help="what a suite asks for", description=__doc__)
    add_suite_options(parser)
    parser.add_argument("--list", action="store_true", help="every run: id, state, commands")
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
    seconds = seconds_of(suite.runs, found)
    rows = []
    for block in [*dict.fromkeys(each.block for each in suite.runs), ""]:
        runs = [each for each in suite.runs if block in (each.block, "")]
        states = Counter(found[each.id].state for each in runs)
        left = [each for each in runs if found[each.id].state != "done"]
        counts = [len(runs), sum(len(each.job) for each in runs), states["done"], states["failed"], len(left)]
        rows.append([block or "all", *counts, time_left(left, seconds)])
    if len(rows) == 2:
        rows.pop()
    headers = ["block", "runs", "results", "done", "failed", "left", "time left, one worker"]
    print(f"{suite.name}: {len(suite.runs)} runs into {suite.output}\n\n{tabulate(rows, headers)}")  # noqa: T201
    return 0
