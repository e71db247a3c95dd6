"""Runs label noise across datasets: training on one dataset with wrong labels, tests on others.

python -m bench.noise_xd --methods ZeroshotCLIP CoOp PTNL DPSEP --source shapes --type sym_other --rates 0.5 \\
    --seeds 1 2 3 --jobs 2 --output output/noise_xd --markdown table.md

--source imagenet is Table 3 of DP-SEP: 16 images a class, tested on OxfordPets, Food101, DTD and UCF101. Options that
are not given are as in configs/suites/noise_xd.yaml. Runs have the same folders as those of
scripts/METHOD/noise_xd_train.sh and noise_xd_test.sh; finished ones are not repeated. Methods are named as for
bench.noise.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

from pandas import DataFrame

from dassl.utils import InputError
from dassl.utils.ends import one_sentence
from dassl.utils.spread import mean, shown, words
from datasets.noise.names import spoken
from runs.noise_protocols import NOISE_TARGETS
from runs.targets import dataset_config

from ..drawing.collapse import marked
from ..drawing.report import Section
from ..reading.layout import dataset_name
from ..suites.suite import Suite
from . import door
from .noise import method_blocks, name_of
from .noise_tables import Row, named, other_labels

NOTE = (
    "Accuracy in % of all classes after the last epoch; average: over the targets, of the seeds that have all of them; "
    f"± is {words()}."
)


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--methods", nargs="+")
    parser.add_argument("--source", help="training set (default: shapes)")
    parser.add_argument("--targets", nargs="+", help="default: the source's known ones")
    parser.add_argument("--type", help="type of the noise (default: sym_other)")
    parser.add_argument("--rates", nargs="+", type=float, help="default: 0.5")


def fill(tree: dict, args: argparse.Namespace) -> None:
    """Put the options into the suite's tree. Raises InputError for a source without known targets, or among them."""
    (block,) = tree["blocks"]
    source = block["source"] = args.source or block["source"]
    dataset_config(source)
    targets = list(dict.fromkeys(args.targets or NOISE_TARGETS.get(source, ())))
    if not targets:
        raise InputError(f"No datasets are known for the source {source}; name them with --targets.")
    if source in targets:
        raise InputError(f"{source} is the source; it is tested in any case: leave it out of --targets.")
    block |= {"datasets": targets, "types": {args.type or "sym_other": sorted(set(args.rates or [0.5]))}}
    tree["blocks"] = method_blocks(block, args.methods or block["methods"])


def sections(frame: DataFrame, wanted: Mapping[str, Sequence[str]]) -> tuple[list[Section], list[str]]:
    """A table for each source, type and rate, and a sentence for each row left out since it trained on other labels.

    wanted: {source: targets} that have a column, and a share in the average, also where they have no result yet.
    """
    frame = named(frame[frame["protocol"] == "noise_xd"], name_of)
    trained = frame[~frame["untrained"]]
    found, said = [], []
    settings = trained if len(trained) else frame
    for source, kind, rate in dict.fromkeys(
        zip(*(settings[k] for k in ("source", "noise_type", "noise_rate")), strict=True)
    ):
        own = frame[(frame["source"] == source)]
        own = own[own["untrained"] | ((own["noise_type"] == kind) & (own["noise_rate"] == rate))]
        others = other_labels(own[own["part"] == "source"], f"{source}, {kind}")
        said += others.values()
        own = own[~own["row"].isin(list(others))]
        targets = list(dict.fromkeys([*wanted.get(source, ()), *own[own["part"] == "target"]["dataset"]]))
        headers = ["method", f"{dataset_name(source)} (source)", *map(dataset_name, targets), "average", "seeds"]
        rows = [_row(row, own[own["row"] == row], source, targets) for row in dict.fromkeys(own["row"])]
        if rows:
            found.append(Section(f"{dataset_name(source)}, {spoken(kind)}, {100 * rate:g}%", "", headers, rows))
    return found, said


def _row(row: Row, frame: DataFrame, source: str, targets: list[str]) -> list[str]:
    """The cells of a row: each dataset, the mean over targets of the seeds that have all of them, number of seeds."""
    own = {name: frame[frame["dataset"] == name] for name in (source, *targets)}
    cells = {name: dict(zip(rows["seed"], marked(rows), strict=True)) for name, rows in own.items()}
    complete = [seed for seed in cells[source] if all(seed in cells[target] for target in targets)]
    average = [mean([cells[target][seed] for target in targets]) for seed in complete if targets]
    return [*row, *(shown(list(each.values())) for each in cells.values()), shown(average), str(len(average))]


def targets_of(suite: Suite) -> dict[str, list[str]]:
    """{source: targets} of the suite's runs."""
    found: dict[str, dict[str, None]] = {}
    for step in (step for run in suite.runs for step in run.job if step.protocol == "noise_xd_test"):
        found.setdefault(step.settings.source, {})[step.dataset] = None
    return {source: list(targets) for source, targets in found.items()}


def page(frame: DataFrame, suite: Suite, args: argparse.Namespace) -> door.Page:
    found, refused = sections(frame, targets_of(suite) if args.recorded or not args.tables_only else {})
    return door.Page(found, refused, end=NOTE)


STUDY = door.Study("noise_xd", __doc__, "noise_xd", options, fill, page)


@one_sentence("interrupted: the same command goes on where it stopped")
def main(argv: list[str] | None = None) -> int:
    return door.main(STUDY, argv)
