"""Tables of base-to-new ablations: a row for each setting, averaged over the datasets of the suite."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

from pandas import DataFrame

from dassl.utils.spread import MISSING, mean, shown, words

from ..drawing.collapse import marked
from ..drawing.report import Section
from ..drawing.summary import hm_of_means
from ..suites.suite import Suite
from . import door
from .rows import told_apart

Setting = tuple[tuple[str, ...], str, str]  # (first cells of a row, block, method)


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--datasets", nargs="+", help="names, all or embedded")


def fill(tree: dict, args: argparse.Namespace) -> None:
    for block in tree["blocks"]:
        block |= {"datasets": list(dict.fromkeys(args.datasets))} if args.datasets else {}


def section(frame: DataFrame, suite: Suite, settings: Sequence[Setting], headers: Sequence[str], title: str) -> Section:
    """The rows of the settings: Base, New and HM of the means, over the seeds that have every dataset."""
    datasets = list(dict.fromkeys(run.dataset for run in suite.runs))
    rows: list[list[str]] = []
    for cells, block, method in settings:
        own = frame[(frame["block"] == block) & (frame["method"] == method)]
        *first, last = cells
        rows += [
            [*first, told_apart(last, told), *_numbers(own[own["settings"] == told], len(datasets))]
            for told in dict.fromkeys(own["settings"]) or [""]
        ]
    note = f"Mean over {', '.join(datasets)}; ± is {words()} of that mean."
    return Section(title, note, [*headers, "Base", "New", "HM", "seeds"], rows if len(frame) else [])


def _numbers(frame: DataFrame, count: int) -> list[str]:
    """Base, New, HM, and the number of seeds that have both halves of all `count` datasets."""
    parts = (frame[frame["part"] == part] for part in ("base", "new"))
    base, new = ({s: mean(v) for s, v in _by_seed(part).items() if len(v) == count} for part in parts)
    seeds = [seed for seed in base if seed in new]
    base, new = ({seed: half[seed] for seed in seeds} for half in (base, new))
    hm = hm_of_means(base, new) if seeds else MISSING
    return [shown(list(base.values())), shown(list(new.values())), hm, str(len(seeds))]


def _by_seed(frame: DataFrame) -> dict[int, list[float]]:
    found: dict[int, list[float]] = {}
    for seed, accuracy in zip(frame["seed"], marked(frame), strict=True):
        found.setdefault(seed, []).append(accuracy)
    return dict(sorted(found.items()))


def study(doc: str, template: str, settings: Sequence[Setting], headers: Sequence[str], title: str) -> door.Study:
    """The study of an ablation, which has one table with these rows."""
    show: Callable = lambda frame, suite, args: door.Page([section(frame, suite, settings, headers, title)])  # noqa: E731
    return door.Study(template, doc, template, options, fill, show)
