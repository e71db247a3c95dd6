"""python -m bench retry SUITE.yaml [--ids A,B]: forgets failures, so that `run` takes these runs again."""

from __future__ import annotations

import argparse

from dassl.utils import InputError
from dassl.utils.counted import counted

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
    if failed:
        count = counted(len(failed), "failure")
        print(f"{count} forgotten; `python -m bench run {args.suite}` goes on from there.")  # noqa: T201
    else:
        print("None of these runs has failed: there is nothing to retry.")  # noqa: T201
    return 0
