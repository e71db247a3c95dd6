"""The command-line options of all commands on a suite, and the suite that they describe."""

from __future__ import annotations

import argparse
import os

from dassl.utils import InputError
from runs.pairs import apart
from runs.words import check_folder, is_whole, seed_of

from .part import of_blocks
from .suite import Run, Suite, read_suite

BLOCK = "this block's runs alone, a name or a pattern such as 'ablation *'; may be repeated"


def add_suite_options(parser: argparse.ArgumentParser, ids: str = "") -> None:
    """Add the options of a suite to a parser. ids: the help of --ids; "" if the command has no such option."""
    parser.add_argument("suite", metavar="SUITE.yaml", help="such as configs/suites/embedded.yaml")
    parser.add_argument("--output", help="folder of the runs (default: the suite's, or output/NAME)")
    parser.add_argument("--root", default=os.environ.get("DATA", "data"), help="folder of the datasets (default: data)")
    parser.add_argument("--block", action="append", default=[], metavar="NAME", help=BLOCK)
    parser.add_argument("--seeds", nargs="+", default=[], help="seeds in place of the suite's")
    if ids:
        parser.add_argument("--ids", metavar="A,B,...", help=ids)
    parser.add_argument("opts", nargs="*", default=[], metavar="KEY VALUE", help="config pairs for every run")


def add_stack(parser: argparse.ArgumentParser) -> None:
    """Add --stack R, which `check_stack` checks."""
    stack = "text-only runs that are trained at once, with one pass of the text tower a step (default: 1)"
    parser.add_argument("--stack", type=int, default=1, metavar="R", help=stack)


def add_from(parser: argparse.ArgumentParser) -> None:
    """Add --from OUTPUT ..., the folders that `taking.take` takes finished runs from."""
    parser.add_argument(
        "--from", dest="sources", action="append", default=[], metavar="OUTPUT",
        help="also take finished runs of this folder (may be repeated)",
    )  # fmt: skip


def check_stack(number: int) -> None:
    """Raises InputError unless so many runs can be trained at once."""
    if number < 1:
        raise InputError(f"--stack is {number}, but must be at least 1.")


def open_suite(args: argparse.Namespace) -> Suite:
    """Read the suite that the options describe. Raises InputError for errors in the file or the options."""
    if args.output is not None:
        check_folder(args.output, "--output")
    words = list(args.seeds)  # argparse puts config pairs that follow --seeds here
    seeds = [seed_of(words.pop(0)) for _ in args.seeds if words and is_whole(words[0])]
    if args.seeds and not seeds:
        raise InputError(f"--seeds must be whole numbers such as 1 2 3, not {args.seeds[0]!r}.")
    pairs = tuple(apart([*words, *args.opts]))
    suite = read_suite(args.suite, args.output or "", args.root, tuple(dict.fromkeys(seeds)), pairs)
    return of_blocks(suite, args.block)


def chosen_runs(suite: Suite, args: argparse.Namespace) -> list[Run]:
    """The runs of --ids, or all without it. Raises InputError for ids of no run, and where none is named."""
    names = [name for name in map(str.strip, (args.ids or "").split(",")) if name]
    if args.ids is not None and not names:
        raise InputError("--ids names no run; give ids such as 0123456789ab,ba9876543210, or leave it out.")
    return suite.chosen(names)
