"""A few settings of base-to-new side by side: each variant runs under its own folder and has one row of a table.

Used by the ablations: a variant is a label, a method, and config pairs.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tabulate import tabulate

from dassl.utils import InputError
from dassl.utils.spread import shown, words
from runs.protocols import UNTRAINED, Settings
from runs.targets import dataset_config

from ..drawing.summary import hm_of_means
from ..reading.files import write_text
from ..reading.results import Result
from ..reading.results import read as read_results
from ..running import launch
from . import base2new, go_ahead


class Mixed(InputError):
    """Runs of one row differ in more than the seed."""


@dataclass(frozen=True)
class Variant:
    """One row. `cells`: its label, one or more columns; `folder`: where its runs go, below the output folder."""

    cells: tuple[str, ...]
    folder: str
    method: str
    pairs: tuple[str, ...] = ()
    shots: int = 0  # 0: as the environment says


def results_of(folder: Path, method: str, datasets: Sequence[str] = ()) -> list[Result]:
    """Of base-to-new. datasets: config names; none: all there. Raises Mixed where runs differ in more than the seed, so
    that there is no one number."""
    sentences: list[str] = []
    found = [r for r in read_results(folder, sentences) if r.protocol == "base2new" and r.trainer == method]
    found = [r for r in found if not datasets or r.dataset in datasets]
    if len(names := list(dict.fromkeys(r.method for r in found))) > 1:
        raise Mixed(
            f"{folder} has no one number of {method}, but those of {', '.join(names)}; keep one of them, or run again. "
            + " ".join(sentences)
        )
    return found


def average_by_seed(folder: Path, method: str, datasets: Sequence[str] = ()) -> dict[int, tuple[float, float]]:
    """{seed: (base, new)}, each the mean over `datasets` (config names; none: all there), of the seeds that have
    finished all of them. Raises Mixed as `results_of` does."""
    return _by_seed(results_of(folder, method, datasets), datasets)


def _by_seed(found: Sequence[Result], datasets: Sequence[str]) -> dict[int, tuple[float, float]]:
    values: dict[int, dict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    for r in found:
        values[r.seed][r.kind][r.dataset] = r.accuracy
    most = max((len(parts["base"]) for parts in values.values()), default=0)
    count = len(datasets) or most
    complete = {s: p for s, p in sorted(values.items()) if len(p["base"]) == len(p["new"]) == count}
    return {s: (statistics.fmean(p["base"].values()), statistics.fmean(p["new"].values())) for s, p in complete.items()}


def row(variant: Variant, output: Path, datasets: Sequence[str] = (), sentences: list[str] | None = None) -> list:
    """Label, base, new, HM of the means (each ± the sample standard deviation over seeds), number of seeds; dashes
    if none is finished, or where its runs differ in more than the seed: then `sentences` gets one that says so, without
    it Mixed."""
    try:
        found = results_of(output / variant.folder, variant.method, datasets)
    except Mixed as error:
        if sentences is None:
            raise
        sentences.append(str(error))
        found = []
    seeds = _by_seed(found, datasets)
    *first, last = variant.cells
    told = {r.method.removeprefix(variant.method) for r in found}  # such as wrong labels
    cells = [*first, last + "".join(told)]
    if not seeds:
        return [*cells, "-", "-", "-", 0]
    base, new = ({seed: pair[i] for seed, pair in seeds.items()} for i in (0, 1))
    spreads = [shown(list(values.values())) for values in (base, new)]
    return [*cells, *spreads, hm_of_means(base, new), len(seeds)]


def jobs(variants: Sequence[Variant], datasets: Sequence[str], seeds: Sequence[int], settings: Settings) -> list:
    """Every run, seed by seed, so that a first table is there early."""
    found = []
    for seed in seeds:
        for v in variants:
            if v.method in UNTRAINED and seed != seeds[0]:
                continue
            own = replace(settings, output=str(Path(settings.output) / v.folder), pairs=(*settings.pairs, *v.pairs))
            own = replace(own, shots=v.shots) if v.shots else own
            found += [base2new.steps(v.method, dataset, seed, own) for dataset in datasets]
    return list(dict.fromkeys(found))


def parser(doc: str, output: str, datasets: Sequence[str] = (), tables: Sequence[str] = ()) -> argparse.ArgumentParser:
    """The options that all these commands share. datasets: the default; none: it has no --datasets. tables: the first
    word must be one of them."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    if tables:  # before the config pairs, which would take it
        made.add_argument("table", choices=list(tables))
    if datasets:
        made.add_argument("--datasets", nargs="+", default=list(datasets))
    made.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    made.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="runs side by side")
    made.add_argument("--root", default=os.environ.get("DATA", "data"))
    made.add_argument("--output", default=output)
    made.add_argument("--markdown", type=Path, metavar="FILE", help="also write the table here")
    made.add_argument("--tables-only", action="store_true", help="run nothing")
    made.add_argument("opts", nargs="*", default=[], help="config pairs for every run: KEY VALUE ...")
    return made


def run(variants: Sequence[Variant], headers: Sequence[str], title: str, args: argparse.Namespace) -> int:
    """Runs what is not finished, and prints the table; the exit code."""
    failures, mixed = [], []
    try:
        args.datasets = list(dict.fromkeys(args.datasets))
        for dataset in args.datasets:
            dataset_config(dataset)
        settings = go_ahead.settings_of(args)
        if not args.tables_only:
            todo = jobs(variants, args.datasets, args.seeds, settings)
            if not go_ahead.may_begin(args, todo):
                return 2
            failures = launch.run_all(todo, args.jobs)
        rows = [row(v, Path(args.output), args.datasets, mixed) for v in variants]
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 2
    columns = [*headers, "Base", "New", "HM", "seeds"]
    heading = f"{title}, mean over {', '.join(args.datasets)}, ± is {words()}"
    print(f"\n{heading}\n\n{tabulate(rows, columns, disable_numparse=True)}")  # noqa: T201
    if args.markdown:
        write_text(args.markdown, tabulate(rows, columns, tablefmt="github", disable_numparse=True) + "\n")
    for sentence in [*dict.fromkeys(mixed), *(f"failed: {failure}" for failure in failures)]:
        print(sentence, file=sys.stderr)  # noqa: T201
    return 1 if failures or mixed else 0
