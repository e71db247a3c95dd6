"""Tables of errors under corruption: a method's figures, and the accuracy under each corruption."""

from __future__ import annotations

import math

from pandas import DataFrame

from dassl.utils.counted import counted
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
    return [_figures(found, _Name(found), interval), _accuracies(frame, _Name(found), interval)]


class _Name:
    """A row's method, and in brackets what keeps it apart: variant, settings, and where several are there config and
    shots."""

    def __init__(self, found: DataFrame) -> None:
        self.several = {key: found.groupby("method")[key].nunique() > 1 for key in ("cfg", "shots")}

    def __call__(self, about: dict) -> str:
        told = [about["variant"], about["settings"]]
        told += [about["cfg"]] if self.several["cfg"][about["method"]] else []
        told += [counted(about["shots"], "shot")] if self.several["shots"][about["method"]] else []
        more = ", ".join(filter(None, told))
        return f"{about['method']} ({more})" if more else about["method"]


def _figures(found: DataFrame, name_of: _Name, interval: bool) -> TextTable:
    rows, notes = [], []
    heads = ["dataset", "method", "clean", "corrupted", "mCE", "relative mCE", "seeds"]
    for (dataset, *_), own in _sorted(found):
        name = name_of(own.iloc[0].to_dict())
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


def _accuracies(frame: DataFrame, name_of: _Name, interval: bool) -> TextTable:
    here = frame[frame["protocol"] == "corruption"]
    here = here.assign(corruption=[each.rpartition("-")[0] for each in here["condition"]])
    names = [name for name in NAMES if name in set(here["corruption"])]
    wanted = here.groupby(["dataset", "corruption"])["condition"].agg(set)
    rows, left_out = [], 0
    for (dataset, *_), own in _sorted(here):
        cells = []
        for name in names:
            seeds = own[own["corruption"] == name].groupby("seed")
            whole = [each["accuracy"].mean() for _, each in seeds if set(each["condition"]) == wanted[dataset, name]]
            left_out += seeds.ngroups - len(whole)
            cells.append(shown(whole, 1, interval))
        rows.append([Cell(text) for text in (dataset_name(dataset), name_of(own.iloc[0].to_dict()), *cells)])
    heads = ["dataset", "method", *(name.replace("_", " ") for name in names)]
    extra = [name for name in names if name not in FIFTEEN]
    notes = ["Mean over the severities that were tested."]
    notes += (
        [f"Left out: {counted(left_out, 'seed')} of a corruption without a severity that others have."]
        if left_out
        else []
    )
    notes += [f"Not part of mCE: {', '.join(name.replace('_', ' ') for name in extra)}."] if extra else []
    return TextTable("Accuracy by corruption, %", heads, rows, notes, numbers=frozenset(range(2, len(heads))))


def _sorted(frame: DataFrame) -> list:
    groups = frame.groupby(["dataset", *NAME], sort=False, dropna=False)
    return sorted(groups, key=lambda pair: (pair[0][0], method_order(pair[0][1]), pair[0][2:]))
