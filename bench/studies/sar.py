"""The tables of the SAR paper, base-to-new: python -m bench.sar TABLE --datasets digits textures --seeds 1 2 3

hosts       each host with and without SAR (Table 3)
ablation    CoOp; + L_SAR with one prompt and all classes; + prompt ensembling; + random sampling (Table 1)
number      0, 50 (a row of the similarity matrix is compared over 16) and 200 novel classes
lambda      the weight of L_SAR
words       source of the novel names: this project's lists, WordNet, the dataset's own new classes (oracle)
four_shot   hosts with and without SAR, 4 images a class

The rows are blocks of configs/suites/sar.yaml; a row of several tables runs once. For domain generalisation use
python -m bench.generalization --methods CoOp CoOpSAR ... --protocols domain_generalization
"""

from __future__ import annotations

import argparse

from pandas import DataFrame

from dassl.utils.ends import one_sentence

from ..suites.suite import Suite
from . import ablation, door
from .ablation import Setting

HOSTS = ("CoOp", "KgCoOp", "TCP", "MaPLe", "CoPrompt")
PLAIN = ("hosts", "CoOpSAR")  # block and method of SAR as published, which is a row of most tables
WEIGHTS = ("0.01", "0.05", "0.1", "0.5", "1.0", "2.0")


def _hosts(block: str) -> list[Setting]:
    pairs = [((host, mark), host + name) for host in HOSTS for mark, name in (("", ""), ("x", "SAR"))]
    return [(cells, block, method) for cells, method in pairs]


def _steps(*rows: tuple[str, str]) -> list[Setting]:
    """The settings of CoOp with SAR from pairs (label, block); an empty block means SAR as published."""
    return [((label,), block or PLAIN[0], PLAIN[1]) for label, block in rows]


TABLES: dict[str, tuple[list[str], list[Setting]]] = {
    "hosts": (["host", "SAR"], _hosts("hosts")),
    "ablation": (["step"], [(("CoOp",), "hosts", "CoOp"), *_steps(
        ("+ L_SAR", "single"), ("+ prompt ensembling", "ensemble"), ("+ random sampling", ""))]),
    "number": (["novel classes"], _steps(("0", "0 novel classes"), ("50", "50 novel classes"), ("200", ""))),
    "lambda": (["lambda"], _steps(*((w, "" if w == "0.1" else f"lambda {w}") for w in WEIGHTS))),
    "words": (["novel names"], _steps(("lists", ""), ("WordNet", "WordNet"), ("oracle", "oracle"))),
    "four_shot": (["host", "SAR"], _hosts("four shots")),
}  # fmt: skip


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("table", choices=list(TABLES))
    ablation.options(parser)


def fill(tree: dict, args: argparse.Namespace) -> None:
    """Keep only the blocks and methods of the suite that the table shows."""
    _, settings = TABLES[args.table]
    wanted = {(block, method) for _, block, method in settings}
    kept = []
    for block in tree["blocks"]:
        methods = block["methods"] if isinstance(block["methods"], list) else [block["methods"]]
        methods = [method for method in methods if (block["name"], method) in wanted]
        kept += [{**block, "methods": methods}] if methods else []
    tree["blocks"] = kept
    ablation.fill(tree, args)


def page(frame: DataFrame, suite: Suite, args: argparse.Namespace) -> door.Page:
    headers, settings = TABLES[args.table]
    return door.Page([ablation.section(frame, suite, settings, headers, f"SAR, {args.table}")])


STUDY = door.Study("sar", __doc__, "sar", options, fill, page, lambda args: args.table)


@one_sentence("interrupted: the same command goes on where it stopped")
def main(argv: list[str] | None = None) -> int:
    return door.main(STUDY, argv)
