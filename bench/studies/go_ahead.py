"""The options that all sweeps share, checked; and before one begins: how many runs it is.

A sweep that nobody chose anything of, and that is long, waits for --yes.
"""

from __future__ import annotations

import argparse
import logging
import os
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from dassl.utils import InputError
from runs.protocols import Settings
from runs.settled import check_keys, check_pairs
from runs.words import LARGEST_SEED, check_folder

from ..reading.files import DAMAGE, find, number, read_record
from ..running.trouble import check_output, check_writable
from ..suites.step import Job

MOST = 50  # runs that begin without being asked for
SAID = {"yes", "jobs", "root", "output", "markdown", "plots", "tables_only", "opts", "help"}  # they choose no runs


def parse(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> argparse.Namespace:
    """Adds --yes, and to what is found whether an option `chosen` says which runs."""
    parser.add_argument("--yes", action="store_true", help=f"begin, also where all defaults are more than {MOST} runs")
    args = parser.parse_intermixed_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options = [a for a in parser._actions if a.option_strings and a.dest not in SAID]
    args.chosen = any(getattr(args, a.dest) is not a.default for a in options)
    return args


def settings_of(args: argparse.Namespace) -> Settings:
    """Raises InputError for what cannot be: numbers of jobs and seeds, folders, files to be written, config pairs."""
    if args.jobs < 1:
        raise InputError(f"--jobs is {args.jobs}, but must be at least 1.")
    if wrong := [seed for seed in args.seeds if not 0 <= seed <= LARGEST_SEED]:
        raise InputError(f"--seeds has {wrong[0]}, but seeds are whole numbers from 0, below 2**63.")
    args.seeds = list(dict.fromkeys(args.seeds))
    if len(args.opts) % 2:
        raise InputError(f"Config pairs come as KEY VALUE, but {args.opts[-1]!r} has no value after it.")
    for name, folder in (("--root", args.root), ("--output", args.output)):
        check_folder(folder, name)
    check_keys(args.opts[::2], "the command line")
    env = {**os.environ, "DATA": args.root, "OUTPUT": args.output}
    settings = Settings.from_environment(env, args.opts)
    if getattr(args, "tables_only", False) and not os.path.isdir(Path(args.output)):
        raise InputError(f"There is no folder {args.output}; give the --output of the runs.")
    check_output(getattr(args, "markdown", None), "--markdown")
    check_output(getattr(args, "plots", None), "--plots", folder=True)
    if args.opts:
        from ..suites.known import known
        from ..suites.resolved import Resolver

        Resolver(known(settings.plugins, settings.plugin_cfg)).pairs(args.opts, "the command line")
    return settings


def may_begin(args: argparse.Namespace, jobs: Sequence[Job]) -> bool:
    """False where the command chooses nothing, the runs are many and --yes is not there: then what it would do is
    printed. Raises InputError where nothing can be written, and for config pairs that a protocol sets itself.
    """
    for step in (step for job in jobs for step in job):
        check_pairs(step.protocol, step.settings.pairs, step.settings.output)
    runs = sum(map(len, jobs))
    if runs > MOST and not (args.yes or args.chosen):
        print(_plan(runs, args), file=sys.stderr)  # noqa: T201
        return False
    check_writable(Path(args.output))
    return True


def _plan(runs: int, args: argparse.Namespace) -> str:
    seconds = _seconds(Path(args.output))
    if seconds:
        left = tqdm.format_interval(statistics.fmean(seconds) * runs / args.jobs)
        about = f"about {left} with --jobs {args.jobs}, by the mean of the {len(seconds)} results that are there"
    else:
        about = "nothing has run there yet that would tell how long they take"
    return (
        f"Nothing is started. With all defaults this is {runs} runs into {args.output}; {about}. Finished ones are not "
        "repeated.\nChoose with --datasets, --seeds, ... (see --help), or begin with --yes."
    )


def _seconds(output: Path) -> list[float]:
    """What the results that are there took."""
    found = []
    for _, file in find(output) if os.path.isdir(output) else ():
        try:
            found.append(number(read_record(file), "wall_seconds", needed=True))
        except DAMAGE:
            continue
    return found
