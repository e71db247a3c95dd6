"""The table of the four protocols: rows are methods, numbers are averages over datasets with deviations over seeds.

A seed is used for a column if the method has results on every dataset of that column. A number is the mean over seeds
of the average over datasets, ± the sample standard deviation over seeds of that average. HM is the harmonic mean of the
two means.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from dassl.utils.counted import counted
from dassl.utils.spread import deviation, mean, plus_minus, shown
from runs.targets import SHIFTS

from ..reading.layout import dataset_name
from ..reading.order import method_order
from .base_new import harmonic_mean
from .results import Result

Averages = dict[str, dict[int, float]]  # {method: {seed: average over datasets}}


@dataclass(frozen=True)
class Scope:
    """The source, datasets and shots of a table; an empty list means all that have results."""

    source: str = "imagenet"
    datasets: Sequence[str] = ()  # base-to-new
    few_shot_datasets: Sequence[str] = ()
    targets: Sequence[str] = ()
    shifts: Sequence[str] = ()
    shots: Sequence[int] = ()


@dataclass(frozen=True)
class Summary:
    """The averages of each column, and the datasets that they are averages over."""

    base: Averages
    new: Averages
    hm: Averages
    cross_dataset: Averages
    shifted: Averages
    few_shot: dict[int, Averages]  # {shots: ...}; a method without training has the same value in each
    datasets: dict[str, list[str]]  # {protocol: datasets}, for the protocols that have any result
    methods: list[str]
    alone: list[str] = field(default_factory=list)  # sentences on seeds that have one half of base-to-new


def summarize(results: Sequence[Result], scope: Scope) -> Summary:
    """Average the results over datasets for each method and seed."""
    base, base_sets = _averages([r for r in results if r.kind == "base"], scope.datasets)
    new, _ = _averages([r for r in results if r.kind == "new"], scope.datasets or base_sets)
    common = {m: [s for s in base[m] if s in new[m]] for m in base if m in new}
    alone = [
        f"{m}: seed {s} is left out of Base, New and HM, as it has one of the two."
        for m, seeds in common.items()
        for s in sorted({*base[m], *new[m]} - {*seeds})
        if seeds
    ]
    for m, seeds in common.items():  # base, new and HM of a method use the same seeds
        base[m], new[m] = ({s: part[m][s] for s in seeds} for part in (base, new)) if seeds else (base[m], new[m])
    hm = {m: {s: harmonic_mean(base[m][s], new[m][s]) for s in seeds} for m, seeds in common.items() if seeds}
    away = [r for r in results if r.kind == "target" and r.source == scope.source]
    known_shifts = scope.shifts or SHIFTS.get(scope.source, ())
    targets, target_sets = _averages([r for r in away if r.dataset not in known_shifts], scope.targets)
    shifted, shifted_sets = _averages([r for r in away if r.dataset in known_shifts], scope.shifts)
    few = [r for r in results if r.kind == "few_shot"]
    few_sets = (list(scope.few_shot_datasets) or sorted({r.dataset for r in few})) if few else []
    present = {r.shots for r in few}
    counts = [k for k in scope.shots or sorted(present - {0}) or present if k in present or present == {0}]
    few_shot = {k: _averages([r for r in few if r.shots in (k, 0)], few_sets)[0] for k in counts}
    methods = sorted({r.method for r in results}, key=method_order)
    names = {"base-to-new": base_sets, "cross-dataset": target_sets, "shifted": shifted_sets, "few-shot": few_sets}
    return Summary(base, new, hm, targets, shifted, few_shot, {k: v for k, v in names.items() if v}, methods, alone)


def _averages(results: Sequence[Result], datasets: Sequence[str]) -> tuple[Averages, list[str]]:
    """(mean over datasets for each method and seed with results on all of them, the datasets)."""
    datasets = list(datasets) or sorted({r.dataset for r in results})
    found: dict[tuple[str, int], dict[str, float]] = defaultdict(dict)
    for r in results:
        if r.dataset in datasets:
            found[r.method, r.seed][r.dataset] = r.accuracy
    averages: Averages = defaultdict(dict)
    for (method, seed), values in found.items():
        if len(values) == len(datasets):
            averages[method][seed] = mean(values.values())
    return dict(averages), datasets if found else []


def main_table(summary: Summary) -> tuple[list[str], list[list[str]]]:
    """(headers, rows) of the table: method, Base, New, HM, XD, DG, few-shot at each number of shots, seeds."""
    few = shot_headers(summary.few_shot)
    headers = ["method", "Base", "New", "HM", "XD", "DG", *few, "seeds"]
    rows = []
    for method in summary.methods:
        columns = [summary.base, summary.new, summary.hm, summary.cross_dataset, summary.shifted]
        columns = [column.get(method, {}) for column in (*columns, *summary.few_shot.values())]
        cells = [shown(list(c.values())) for c in columns]
        if columns[2]:
            cells[2] = hm_of_means(columns[0], columns[1])
        counts = [len(c) for c in columns if c] or [0]
        rows.append([method, *cells, "-".join(dict.fromkeys((str(min(counts)), str(max(counts)))))])
    protocols = ["base-to-new"] * 3 + ["cross-dataset", "shifted"] + ["few-shot"] * len(few)
    used = [0, *(i for i, p in enumerate(protocols, start=1) if p in summary.datasets), len(headers) - 1]
    return [headers[i] for i in used], [[row[i] for i in used] for row in rows]


def hm_of_means(base: dict[int, float], new: dict[int, float]) -> str:
    """The harmonic mean of the two means, ± the deviation of the harmonic means of single seeds, as text."""
    seeds = [s for s in base if s in new]
    hm = harmonic_mean(statistics.fmean(base[s] for s in seeds), statistics.fmean(new[s] for s in seeds))
    return plus_minus(hm, deviation([harmonic_mean(base[s], new[s]) for s in seeds]))


def target_table(
    results: Sequence[Result], scope: Scope, summary: Summary, shifted: bool
) -> tuple[list[str], list[list[str]]]:
    """(headers, rows) of cross-dataset, or of domain generalisation if `shifted`: source, each target, their mean."""
    targets = summary.datasets.get("shifted" if shifted else "cross-dataset", [])
    averages = summary.shifted if shifted else summary.cross_dataset
    here = [r for r in results if r.protocol == "cross_dataset" and r.source == scope.source]
    rows = []
    for method in sorted({r.method for r in here}, key=method_order):
        own = [r for r in here if r.method == method]
        cells = [[r.accuracy for r in own if r.kind == "source"]]
        cells += [[r.accuracy for r in own if r.kind == "target" and r.dataset == t] for t in targets]
        cells.append(list(averages.get(method, {}).values()))
        rows.append([method, *map(shown, cells)])
    heads = ["method", f"{dataset_name(scope.source)} (source)", *map(dataset_name, targets), "average"]
    return heads, rows if targets else []


def few_shot_table(results: Sequence[Result], dataset: str, shots: Sequence[int]) -> tuple[list[str], list[list[str]]]:
    """(headers, rows) of one dataset: the accuracy of each method at each number of shots."""
    here = [r for r in results if r.kind == "few_shot" and r.dataset == dataset]
    rows = []
    for method in sorted({r.method for r in here}, key=method_order):
        cells = [[r.accuracy for r in here if r.method == method and r.shots in (k, 0)] for k in shots]
        rows.append([method, *map(shown, cells)])
    return ["method", *shot_headers(shots)], rows


def uneven(results: Sequence[Result]) -> str:
    """A sentence on rows whose numbers are over different seeds; "" without such rows."""
    seeds: dict[str, dict[tuple, set[int]]] = defaultdict(lambda: defaultdict(set))
    for r in results:
        seeds[r.method][r.kind, r.dataset, r.shots if r.kind == "few_shot" else 0].add(r.seed)
    told = [
        f"{method} ({min(map(len, cells.values()))} to {max(map(len, cells.values()))})"
        for method, cells in seeds.items()
        if len(set(map(frozenset, cells.values()))) > 1
    ]
    return f"Not all numbers of a row are over the same seeds: {', '.join(told)}." if told else ""


def shot_headers(shots: Iterable[int]) -> list[str]:
    return [counted(k, "shot") for k in shots]
