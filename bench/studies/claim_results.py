"""The results that claims compare: of a suite's runs, and as papers print them."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from pandas import DataFrame

from runs.config_names import TEST_TIME, UNTRAINED

from ..comparing.published import Printed, Table, load
from ..suites.suite import Run, Suite
from .bootstrap import Cell
from .claim import Claim, Published, Side
from .claim_metrics import KL, METRICS, TEXT, Key, Results


@dataclass
class Found:
    """The results of a suite's runs. planned: the cells that the suite has of each side; results: those that finished.

    mixed: sides whose runs have different settings, with these. fell: the results whose run's class features collapsed.
    """

    planned: dict[Side, set[Cell]] = field(default_factory=lambda: defaultdict(set))
    results: dict[Side, dict[Cell, Results]] = field(default_factory=lambda: defaultdict(dict))
    mixed: dict[Side, list[str]] = field(default_factory=dict)
    fell: dict[Side, dict[Cell, set[Key]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(set)))

    def collapsed(self, claim: Claim) -> set[Cell]:
        """The cells in which a result of either side that the claim may use is of a collapsed run."""
        used = set(claim.points) or {("", 0.0)}
        sides = (self.fell[side] for side in (claim.left, claim.right))
        return {
            cell for side in sides for cell, keys in side.items() if used & {(kind, rate) for _, kind, rate in keys}
        }

    def values(self, side: Side, claim: Claim) -> dict[Cell, float]:
        """The claim's metric in each cell of a side that has all of its results."""
        found = {cell: METRICS[claim.metric](of, claim.points) for cell, of in self.results[side].items()}
        return {cell: value for cell, value in found.items() if value is not None}


def find(suite: Suite, frame: DataFrame, kl: Mapping[str, float]) -> Found:
    """The results in `frame` (of `rows_of`). kl: {training folder, relative: mean KL divergence of its new classes}."""
    found, seeds = Found(), sorted({run.seed for run in suite.runs})
    for run in suite.runs:
        side = Side(run.block, run.method)
        for cell in _cells(run, seeds):
            found.planned[side].add(cell)
            folder = run.folders[0].relative_to(suite.output).as_posix()
            if folder in kl:
                found.results[side].setdefault(cell, {})[KL, "", 0.0] = kl[folder]
    for row in frame.to_dict("records"):
        side = Side(row["block"], row["method"])
        for cell in found.planned[side]:
            if cell[1] == row["seed"] or _seedless(row["method"]):
                own = _results(row, cell[0])
                found.results[side].setdefault(cell, {}).update(own)
                if row.get("collapsed") is True:
                    found.fell[side][cell] |= own.keys()
    for (block, method), own in frame.groupby(["block", "method"], sort=False):
        if own["settings"].nunique() > 1:
            found.mixed[Side(block, method)] = sorted(own["settings"].unique())
    return found


def _cells(run: Run, seeds: list[int]) -> list[Cell]:
    """The cells of a run: its tests' datasets. Zero-shot CLIP, which has one run, stands for every seed."""
    tests = [step.dataset for step in run.job if step.protocol not in ("xd_train", "noise_xd_train")]
    mine = seeds if _seedless(run.method) else [run.seed]
    return [(dataset, seed) for dataset in dict.fromkeys(tests) for seed in mine]


def _seedless(method: str) -> bool:
    return method in UNTRAINED and method not in TEST_TIME


def _results(row: dict, dataset: str) -> dict[tuple[str, str, float], float]:
    """What a row of `rows_of` says about a dataset; empty if it is of another one."""
    if row["protocol"] == "cross_dataset" and row["part"] == "source":
        return {("source", "", 0.0): row["accuracy"]}  # one for all targets
    if row["dataset"] != dataset:
        return {}
    if row["protocol"] == "robust":
        columns = {row["mode"]: "adv_accuracy", "clean": "accuracy", "transfer": "transfer_accuracy"}
        found = {(what, "", 0.0): row[column] for what, column in columns.items()}
        return {key: value for key, value in found.items() if value == value}
    if row["protocol"] == "text_noise":
        kind, _, strength = row["condition"].rpartition("-")
        return {(TEXT, kind, float(strength)): row["accuracy"]}
    noisy = row["protocol"] == "noise"
    return {(row["part"], row["noise_type"] if noisy else "", row["noise_rate"] if noisy else 0.0): row["accuracy"]}


# ---------------------------------------------------------------------- published


def printed_difference(claim: Claim) -> float | None:
    """The paper's own difference, by the claim's metric and in its direction; None where none is within reach.

    Of a table with an average that of the averages; else the mean of the datasets' differences.
    """
    if claim.published is None:
        return None
    sides = [_printed(name, claim.published) for name in (claim.published.left, claim.published.right)]
    found = []
    for dataset in sides[0].keys() & sides[1].keys():
        left, right = (METRICS[claim.metric](side[dataset], claim.points) for side in sides)
        if left is not None and right is not None:
            found.append(claim.towards(left, right))
    return statistics.fmean(found) if found else None


def _printed(name: str, where: Published) -> dict[str, Results]:
    """{dataset: results} of one printed row."""
    (table,) = [table for table in load(where.paper).tables if table.table == where.table]
    found: dict[str, dict] = defaultdict(dict)
    for cell in table.cells:
        if cell.method == name and cell.value is not None and (not table.averages or cell.dataset in table.averages):
            found[cell.dataset][_key(cell, table)] = cell.value
    return dict(found)


def _key(cell: Printed, table: Table) -> tuple[str, str, float]:
    kind = table.noise_types[cell.noise_type][0] if cell.noise_type else ""
    return cell.part, kind, cell.noise_rate or 0.0
