"""python -m bench retry SUITE.yaml [--ids A,B]: forgets failures, so that `run` takes these runs again."""

from __future__ import annotations

import argparse

from dassl.utils import InputError

from ..running.state import forget_failure, survey
from ..suites.options import add_suite_options, chosen_runs, open_suite


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("retry", help="forget failures", description=__doc__)
    add_suite_options(parser, ids="these runs (default: all that failed)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    suite = open_suite(args)
    runs = chosen_runs(suite, args)
    found = survey(runs)
    failed = [each for each in runs if found[each.id].state == "failed"]
    try:
        for each in failed:
            forget_failure(each)
    except OSError as error:
        raise InputError(f"Failures in {suite.home} cannot be forgotten: {error.strerror}; mend that.") from error
    print(f"{len(failed)} failures forgotten; `python -m bench run {args.suite}` takes these runs again.")  # noqa: T201
    return 0
