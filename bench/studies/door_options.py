"""The options that all commands of studies have."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from dassl.utils import InputError
from dassl.utils.screen import Screen
from runs.pairs import apart
from runs.protocols import Settings
from runs.settled import check_keys
from runs.words import LARGEST_SEED, check_folder

from ..running.taking import check_sources
from ..running.trouble import check_output
from ..suites.options import add_from, add_stack, check_stack
from .study import Study

MOST = 50  # largest number of runs that are started without `run` or --yes
# Options that do not change which runs a suite has.
SAME_RUNS = (
    "jobs", "stack", "sources", "root", "output", "markdown", "json", "plots", "published_order", "plan",
    "tables_only", "yes", "table",
)  # fmt: skip
ENVIRONMENT = """environment, as for the scripts (docs/protocols.md): DATA (--root), SHOTS (images a class), CFG (config
of the methods), PLUGIN and PLUGIN_CFG (files from outside). They go into the suite in the output folder."""


def parse(study: Study, argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the study's own options and those of all studies. The word `run` means --yes, and `plan` starts nothing.

    `chosen`: whether an option is given that changes which runs the suite has. `recorded`: whether they are
    those of a suite's file in the output folder.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m bench.{study.name}",
        description=study.doc,
        epilog=ENVIRONMENT,
        formatter_class=Screen,
    )  # fmt: skip
    study.options(parser)
    parser.add_argument("--seeds", nargs="+", type=int, help="default: 1 2 3")
    parser.add_argument("--jobs", type=int, help="runs at a time (default: one a GPU; without GPUs 2)")
    add_from(parser)
    add_stack(parser)
    parser.add_argument("--root", default=os.environ.get("DATA", "data"), help="folder of the datasets")
    parser.add_argument("--output", help="folder of the runs (default: the suite's, or output/NAME)")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="also write the tables to this file")
    parser.add_argument(
        "--tables-only", action="store_true",
        help="run nothing, show the results that exist; without options on the runs, those of the suite that an "
        "earlier command left in the folder of --output",
    )  # fmt: skip
    parser.add_argument("--yes", action="store_true", help=f"start also more than {MOST} runs; as the word `run`")
    parser.add_argument(
        "opts", nargs="*", default=[], help="run or plan, and config pairs for every run: KEY VALUE ..."
    )
    args = parser.parse_intermixed_args(argv)
    args.plan = args.opts[:1] == ["plan"]
    args.yes = args.yes or args.opts[:1] == ["run"]
    args.opts = apart(args.opts[1:] if args.opts[:1] in (["run"], ["plan"]) else args.opts)
    args.chosen = any(value for key, value in vars(args).items() if key not in SAME_RUNS)
    args.recorded = False
    return args


def checked(args: argparse.Namespace) -> Settings:
    """The settings from options and environment. Raises InputError for wrong numbers, folders and files to write."""
    if args.jobs is not None and args.jobs < 1:
        raise InputError(f"--jobs is {args.jobs}, but must be at least 1.")
    check_stack(args.stack)
    if wrong := [seed for seed in args.seeds or () if not 0 <= seed <= LARGEST_SEED]:
        raise InputError(f"--seeds has {wrong[0]}, but seeds are whole numbers from 0, below 2**63.")
    args.seeds = list(dict.fromkeys(args.seeds or ()))
    if len(args.opts) % 2:
        raise InputError(f"Config pairs come as KEY VALUE, but {args.opts[-1]!r} has no value after it.")
    for name, folder in (("--root", args.root), ("--output", args.output)):
        check_folder(folder, name)
    check_sources(args.sources, args.output)
    if args.sources and (args.plan or args.tables_only):
        raise InputError(f"--from copies runs, and {'plan' if args.plan else '--tables-only'} nothing; leave one out.")
    check_keys(args.opts[::2], "the command line")
    if args.tables_only and not os.path.isdir(args.output):
        raise InputError(f"There is no folder {args.output}; give the --output of the runs.")
    check_output(args.markdown, "--markdown")
    check_output(getattr(args, "json", None), "--json")
    check_output(getattr(args, "plots", None), "--plots", folder=True)
    settings = Settings.from_environment({**os.environ, "DATA": args.root, "OUTPUT": args.output}, args.opts)
    if settings.load_epoch:
        raise InputError("LOADEP is for single runs; a study tests the last epoch: unset it.")
    return settings
