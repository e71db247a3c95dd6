"""Runs base-to-new for several methods, datasets and seeds, and prints the base_new.

python -m bench.base2new --methods ZeroshotCLIP CoOp --datasets digits shapes --seeds 1 2 3 --jobs 2

Runs have the same folders as those of scripts/METHOD/base2new_*.sh; finished ones are not repeated. The table has all
runs in the output folder. Options that are not given are as in configs/suites/demo.yaml.
"""

from __future__ import annotations

import argparse
import os

from pandas import DataFrame

from dassl.utils.ends import one_sentence

from ..drawing import base_new
from ..drawing.report import Section
from ..suites.suite import Suite
from . import door
from .rows import all_rows


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--methods", nargs="+", help="registered names, or all")
    parser.add_argument("--datasets", nargs="+", help="names, all or embedded")
    parser.set_defaults(output=os.environ.get("OUTPUT", "output"))


def fill(tree: dict, args: argparse.Namespace) -> None:
    tree["name"] = "base2new"
    for key in ("methods", "datasets"):
        if names := getattr(args, key):
            tree["blocks"][0][key] = list(dict.fromkeys(names))


def page(frame: DataFrame, suite: Suite, args: argparse.Namespace) -> door.Page:
    remarks: list[str] = []
    rows = base_new.rows(base_new.accuracies(frame, remarks))
    return door.Page([Section("Base-to-new", base_new.caption(), base_new.HEADERS, rows)], end="\n".join(remarks))


STUDY = door.Study("base2new", __doc__, "demo", options, fill, page, rows=all_rows)


@one_sentence("interrupted: the same command goes on where it stopped")
def main(argv: list[str] | None = None) -> int:
    return door.main(STUDY, argv)
