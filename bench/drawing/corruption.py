"""Tables of errors under corruption: a method's figures, and the accuracy under each corruption."""

from __future__ import annotations

import math
import statistics

from pandas import DataFrame

from dassl.utils.spread import shown, words
from runs.corruption_protocol import FIFTEEN, NAMES

from ..reading.corruption import by_seed
from ..reading.layout import dataset_name
from ..reading.order import method_order
from .formats import Cell, TextTable

NAME = ["method", "variant", "settings", "cfg", "backbone", "shots"]


def tables(frame: DataFrame, interval: bool = False) -> list[TextTable]:
    """Two tables from the rows of `collect`; none without tests on corrupted images."""
    found = by_seed(frame)
    if found.empty:
        return []
    return [_figures(found, interval), _accuracies(frame, interval)]


def _name(about: dict) -> str:
    more = ", ".join(filter(None, [about["variant"], about["settings"]]))
    return f"{about['method']} ({more})" if more else about["method"]


def _figures(found: DataFrame, interval: bool) -> TextTable:
    rows, notes = [], []
    heads = ["dataset", "method", "clean", "corrupted", "mCE", "relative mCE", "seeds"]
    for (dataset, *_), own in _sorted(found):
        name = _name(own.iloc[0].to_dict())
        values = {c: [x for x in own[c] if not math.isnan(x)] for c in ("clean", "accuracy", "mce", "relative_mce")}
        cells = [shown(each, interval=interval) for each in values.values()]
        rows.append([Cell(text) for text in (dataset_name(dataset), name, *cells, str(len(own)))])
        missing = sorted({each for row in own["missing"] for each in row})
        if missing:
            more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
            where = f"{name} on {dataset_name(dataset)}"
            notes.append(f"{where}: no figures, since {', '.join(missing[:3])}{more} have no result.")
    told = [
        f"Accuracies and errors in %; ± is {words(interval)}. mCE: error summed over severities, relative to zero-shot "
        "CLIP's, mean over the 15 corruptions; relative mCE: of what is lost from clean images. 100 is zero-shot CLIP; "
        "lower is better.",
        *notes,
    ]
    return TextTable("Under corruption", heads, rows, told, numbers=frozenset(range(2, len(heads))))


def _accuracies(frame: DataFrame, interval: bool) -> TextTable:
    here = frame[frame["protocol"] == "corruption"]
    here = here.assign(corruption=[each.rpartition("-")[0] for each in here["condition"]])
    names = [name for name in NAMES if name in set(here["corruption"])]
    rows = []
    for (dataset, *_), own in _sorted(here):
        cells = []
        for name in names:
            seeds = own[own["corruption"] == name].groupby("seed")["accuracy"].agg(list)
            cells.append(shown([statistics.fmean(each) for each in seeds], 1, interval))
        rows.append([Cell(text) for text in (dataset_name(dataset), _name(own.iloc[0].to_dict()), *cells)])
    heads = ["dataset", "method", *(name.replace("_", " ") for name in names)]
    extra = [name for name in names if name not in FIFTEEN]
    notes = ["Mean over the severities that were tested."]
    notes += [f"Not part of mCE: {', '.join(name.replace('_', ' ') for name in extra)}."] if extra else []
    return TextTable("Accuracy by corruption, %", heads, rows, notes, numbers=frozenset(range(2, len(heads))))


def _sorted(frame: DataFrame) -> list:
    groups = frame.groupby(["dataset", *NAME], sort=False, dropna=False)
    return sorted(groups, key=lambda pair: (pair[0][0], method_order(pair[0][1]), pair[0][2:]))
