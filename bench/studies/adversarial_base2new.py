"""Base and new classes, clean and under attack: python -m bench.adversarial_base2new --datasets digits --seeds 1 2 3

Trains each method on the base classes, then attacks the pictures of base and of new classes in the strongest way that
the method can be attacked (white-box for trained methods), and prints clean and robust Base, New and HM. Options that
are not given are as in configs/suites/adversarial_base2new.yaml.
"""

from __future__ import annotations

import argparse

from pandas import DataFrame

from dassl.utils.ends import one_sentence
from dassl.utils.spread import MISSING, plus_minus, words

from ..drawing.collapse import MARK
from ..drawing.report import Section
from ..reading.aggregate import aggregate, average
from ..reading.order import method_order
from ..suites.suite import Suite
from . import door
from .rows import told_apart

PARTS = ("base", "new", "hm")
KINDS = {"accuracy": "clean", "adv_accuracy": "robust"}
NOTE = (
    f"Accuracy in percent, mean over seeds; ± is {words()}. HM is the harmonic mean of the Base and the New beside it. "
    "robust: right under the attack of the title, by the attacker who knows the method."
)


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--methods", nargs="+", help="with the settings of their block; default: all of the suite")
    parser.add_argument("--datasets", nargs="+", help="names, all or embedded")
    parser.add_argument("--eps", nargs="+", type=float, help="in 1/255 (default: 1 4)")
    parser.add_argument("--steps", type=int, help="of PGD (default: 7)")
    parser.add_argument("--subset", type=int, default=0, help="number of images, drawn class by class")


def fill(tree: dict, args: argparse.Namespace) -> None:
    """Put the options that are given into each block of the suite. A method stays in the block that has it, with that
    block's settings; one that none has goes into the first."""
    given = {key: getattr(args, key) for key in ("datasets", "eps", "steps", "subset")}
    given = {key: list(dict.fromkeys(v)) if isinstance(v, list) else v for key, v in given.items() if v}
    known = [method for block in tree["blocks"] for method in block["methods"]]
    wanted = dict.fromkeys(args.methods or known)
    for number, block in enumerate(tree["blocks"]):
        new = [] if number else [method for method in wanted if method not in known]
        block |= given | {"methods": [m for m in wanted if m in block["methods"]] + new}
    tree["blocks"] = [block for block in tree["blocks"] if block["methods"]]


def page(frame: DataFrame, suite: Suite, args: argparse.Namespace) -> door.Page:
    return door.Page(sections(frame[frame["protocol"] == "robust_base2new"]), end=NOTE)


def sections(frame: DataFrame) -> list[Section]:
    """A table for each attack and dataset, and for each attack one of averages if there are several datasets."""
    frame = frame.assign(method=[told_apart(m, s) for m, s in zip(frame["method"], frame["settings"], strict=True)])
    datasets = list(dict.fromkeys(frame["dataset"]))
    made = []
    for attack in dict.fromkeys(frame["attack"]):
        own = frame[frame["attack"] == attack]
        made += [_section(own[own["dataset"] == name], attack, name, [name]) for name in datasets]
        if len(datasets) > 1:
            made.append(_section(own, attack, f"average of {len(datasets)}", datasets))
    return [section for section in made if section.rows]


def _section(frame: DataFrame, attack: str, title: str, datasets: list[str]) -> Section:
    """One table: a row for each method, and columns of clean and of robust Base, New and HM."""
    cells: dict[tuple[str, str, str], str] = {}
    seeds: dict[str, int] = {}
    for kind in KINDS:
        found = average(frame, datasets, kind) if len(datasets) > 1 else aggregate(frame, kind)
        for row in found.to_dict("records"):
            mark = f" {MARK}" if row["collapsed"] else ""
            cells[row["method"], kind, row["part"]] = plus_minus(row["mean"], row["std"]) + mark
            seeds[row["method"]] = min(row["n"], seeds.get(row["method"], row["n"]))
    headers = ["method", *(f"{name} {_title(part)}" for name in KINDS.values() for part in PARTS), "seeds"]
    rows = [
        [method, *(cells.get((method, kind, part), MISSING) for kind in KINDS for part in PARTS), str(seeds[method])]
        for method in sorted(seeds, key=method_order)
    ]
    return Section(f"{attack}, {title}", "", headers, rows)


def _title(part: str) -> str:
    return "HM" if part == "hm" else part.capitalize()


STUDY = door.Study("adversarial_base2new", __doc__, "adversarial_base2new", options, fill, page)


@one_sentence("interrupted: the same command goes on where it stopped")
def main(argv: list[str] | None = None) -> int:
    return door.main(STUDY, argv)
