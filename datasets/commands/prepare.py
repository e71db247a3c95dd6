"""`python -m datasets prepare NAME`: fetch a dataset and lay it out as CoOp's DATASETS.md says, or print how to."""

from __future__ import annotations

import argparse
import os

from dassl.utils import InputError

from ..base import SplitDataset
from ..reading.catalog import Entry, find
from .console import say


def add_command(commands: argparse._SubParsersAction) -> argparse.ArgumentParser:
    parser = commands.add_parser("prepare", help="fetch a dataset, or say how to get it", description=__doc__)
    parser.add_argument(
        "names", nargs="+", metavar="NAME", help="YAML stem (caltech101) or registered name (Caltech101)"
    )
    parser.add_argument("--root", default="data", help="folder that holds the datasets (default: data)")
    return parser


def run(args: argparse.Namespace) -> int:
    """Prepares the named datasets one after another. Returns the exit code."""
    for entry in [find(name) for name in args.names]:
        prepare(entry, args.root)
    return 0


def prepare(entry: Entry, root: str) -> None:
    """Fetch what is missing of one dataset, or print the steps. InputError says what went wrong."""
    from ..prepare.layout import lay_out  # torchvision, which holds addresses, is slow to import
    from ..prepare.manual import STEPS
    from ..prepare.recipes import RECIPES

    if entry.name in STEPS:
        say(f"{entry.stem} must be fetched by hand. Nothing was changed; these are the steps:\n")
        place = os.path.abspath(os.path.expanduser(root))
        for number, step in enumerate(STEPS[entry.name], start=1):
            say(f"  {number}. {step.replace('{root}', place)}")
        return
    if entry.name in RECIPES:
        folder = entry.folder(root)
        fetched = lay_out(RECIPES[entry.name], folder)
        what = f"{', '.join(fetched)} fetched" if fetched else "complete already"
        say(f"{folder}: {what}. To check it: python -m datasets doctor {entry.stem} --root {root}")
        return
    if getattr(entry.loader, "dataset_dir", "") and entry.loader.ensure.__func__ is not SplitDataset.ensure.__func__:
        folder = entry.folder(root)
        entry.loader.ensure(str(folder))  # generated here
        say(f"{folder}: complete.")
        return
    raise InputError(f"There is nothing to fetch for {entry.stem}: its images are your own.")
