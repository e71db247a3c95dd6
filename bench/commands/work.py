"""python -m bench work SUITE.yaml --ids A,B,C: runs these runs here, one after another. Slurm tasks execute it.

Runs that are done, that failed before, or that another process is working on are skipped. SIGINT, SIGTERM and SIGUSR1
stop it (exit code 130); the same command continues from the last checkpoint. --stack R trains up to R of them at once
(docs/running.md).
"""

from __future__ import annotations

import argparse
import logging
import sys

from dassl.utils.screen import Screen

from ..running.pool import interrupt_on_signals
from ..running.stacking import stacked, work_at_once
from ..running.trouble import check_writable
from ..suites.options import add_stack, add_suite_options, check_stack, chosen_runs, open_suite

logger = logging.getLogger(__name__)


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("work", help="run these runs here", description=__doc__, formatter_class=Screen)
    add_suite_options(parser, ids="these runs (default: all)")
    add_stack(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    interrupt_on_signals()
    check_stack(args.stack)
    suite = open_suite(args)
    runs = chosen_runs(suite, args)
    check_writable(suite.home)
    code = number = 0
    for together in stacked(runs, args.stack):
        for each in together:
            number += 1
            logger.info("%d of %d: %s %s", number, len(runs), each.id, each)
        outcomes = work_at_once(together)
        for each, outcome in zip(together, outcomes, strict=True):
            for note in outcome.notes:
                logger.info("%s", note)
            logger.info("%s, %.0f s", outcome.how, outcome.seconds)
            if outcome.text:
                print(f"{outcome.how}: {each.id} {each}: {outcome.text}", file=sys.stderr)  # noqa: T201
                code = 1
        if any(outcome.how == "halted" for outcome in outcomes):
            break
    return code
