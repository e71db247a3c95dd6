"""Methods that learn from the stream, over several orders of it: python -m bench.streams run --markdown table.md

A seed is an order. Prints the accuracy of the plain view without adaptation, and that of the method: its mean over
orders with its deviation, the worst and the best order, and the second half of the stream. Options that are not given
are as in configs/suites/streams.yaml.
"""

from __future__ import annotations

import argparse

import numpy as np
from pandas import DataFrame

from dassl.utils import read_json
from dassl.utils.ends import one_sentence
from dassl.utils.spread import deviation, plus_minus, words

from ..drawing.report import Section
from ..suites.suite import Suite
from . import door
from .rows import with_attacked

HEADERS = [
    "stream", "dataset", "images", "method", "not adapted", "accuracy", "worst, best order", "second half", "orders",
]  # fmt: skip
NOTE = (
    f"Accuracy in percent, mean over orders; ± is {words()}. not adapted: the plain view under the untuned prompt. A "
    "stream of several datasets is named by the first."
)


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--methods", nargs="+", help="of those that learn from the stream; default: all of the suite")
    parser.add_argument("--blocks", nargs="+", help="names of the suite's blocks; default: all")


def fill(tree: dict, args: argparse.Namespace) -> None:
    """Leave the blocks and methods that the options name."""
    blocks = [block for block in tree["blocks"] if not args.blocks or block["name"] in args.blocks]
    for block in blocks:
        block["methods"] = [m for m in block["methods"] if not args.methods or m in args.methods]
    tree["blocks"] = [block for block in blocks if block["methods"]]


def page(frame: DataFrame, suite: Suite, args: argparse.Namespace) -> door.Page:
    return door.Page([section(frame[frame["protocol"] == "online"], suite)], end=NOTE)


def section(frame: DataFrame, suite: Suite) -> Section:
    """The table: a row for each block, dataset, attack and method, in the suite's order."""
    frame = frame.assign(attack=frame["attack"].fillna(""))
    rows = []
    for (block, dataset, attack, method), own in frame.groupby(["block", "dataset", "attack", "method"], sort=False):
        told = [read_json(suite.output / folder / "results.json")["test_time"] for folder in own["folder"]]
        values = {key: np.array([each[key] for each in told if key in each], float) for key in KEYS}
        after = values["accuracy_after"]
        if not len(after):
            continue
        images = dataset if attack == "clean" or not attack else f"{dataset}, {attack}"
        ends = f"{after.min():.1f}, {after.max():.1f}"
        half = _spread(values["accuracy_last_half"]) if len(values["accuracy_last_half"]) else "-"
        rows.append([
            block, images, str(told[0]["images"]), method, _spread(values["accuracy_before"]), _spread(after), ends,
            half, str(len(after)),
        ])  # fmt: skip
    return Section("Streams", "", HEADERS, rows)


KEYS = ("accuracy_before", "accuracy_after", "accuracy_last_half")


def _spread(values: np.ndarray) -> str:
    return plus_minus(float(values.mean()), deviation(values))


STUDY = door.Study("streams", __doc__, "streams", options, fill, page, rows=with_attacked)


@one_sentence("interrupted: the same command goes on where it stopped")
def main(argv: list[str] | None = None) -> int:
    return door.main(STUDY, argv)
