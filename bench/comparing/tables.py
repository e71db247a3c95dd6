"""Formats a comparison: one table for each published table and dataset, numbers with two decimals."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

import pandas as pd

from dassl.utils.counted import counted
from dassl.utils.spread import MISSING, plus_minus, words

from ..drawing.collapse import MARK
from ..drawing.formats import Cell, TextTable, ranks
from ..reading.layout import dataset_name
from .our_runs import UNKNOWN
from .published import Table

PARTS = {"base": "Base", "new": "New", "hm": "HM", "source": "source", "target": "target", "all": ""}
METRICS = {"accuracy": "", "top5_accuracy": "top-5", "adv_accuracy": "attacked"}
HEADERS = ("", "method", "published", "ours", "difference", "inside", "notes")
NUMBERS = frozenset({2, 3, 4})
GROUP = ["part", "noise_type", "noise_rate", "attack", "metric"]


def legend(interval: bool = False) -> str:
    return (
        f"ours: mean over seeds (number of seeds); ± is {words(interval)}. difference: ours less published, in "
        "brackets where the paper leaves open what it depends on. inside: the published number lies in our 95 % "
        f"interval. *: the printed number contradicts others, see its note; (*): another number of its row does. "
        f"{MARK}: with runs that collapsed."
    )


def text_tables(table: Table, rows: pd.DataFrame, interval: bool = False) -> Iterator[TextTable]:
    """One text table for each dataset, from the rows of `comparison.compare` for `table`.

    interval: ± is half the width of the 95 % interval instead of the deviation.
    """
    of_dataset: dict[str, list[dict]] = {}
    for row in rows.to_dict("records"):
        of_dataset.setdefault(row["dataset"], []).append(row)
    for dataset, here in of_dataset.items():
        yield _one(table, dataset, here, interval)


def _one(table: Table, dataset: str, rows: list[dict], interval: bool) -> TextTable:
    notes: dict[str, str] = {}  # sentence -> its letter
    lines: list[list[Cell]] = []
    rules = set()
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        key = tuple(row[column] for column in GROUP)
        groups.setdefault(tuple(None if value != value else value for value in key), []).append(row)  # NaN != NaN
    for key, group in groups.items():
        if lines:
            rules.add(len(lines))
        published, ours = ranks([row["published"] for row in group]), ranks(_rankable(group))
        for i, row in enumerate(group):
            first = Cell(_heading(key) if i == 0 else "")
            lines.append([first, *_cells(row, published[i], ours[i], table.decimals, notes, interval)])
    kept = [i for i in range(len(HEADERS)) if i or any(line[0].text for line in lines)]
    title = f"{table.name}: {table.title}, {dataset_name(dataset)}"
    return TextTable(
        title,
        [HEADERS[i] for i in kept],
        [[line[i] for i in kept] for line in lines],
        [f"{letter}: {sentence}" for sentence, letter in notes.items()],
        frozenset(rules) if len(rules) < len(lines) - 1 else frozenset(),
        frozenset(kept.index(i) for i in NUMBERS),
        re.sub(r"[^a-z0-9]+", "-", f"{table.paper} {table.table} {dataset}".lower()),
    )


def _cells(row: dict, published: str, ours: str, decimals: int, notes: dict[str, str], interval: bool) -> list[Cell]:
    mark = "*" if row["contradiction"] else "(*)" if row["unreliable"] else ""
    fell = f"{row['collapsed']} of {counted(row['n'], 'seed')} collapsed" if row["collapsed"] else ""
    remarks = [r for r in (row["contradiction"], *row["remarks"].split("; "), fell) if r]
    letters = [notes.setdefault(remark, _letter(len(notes))) for remark in remarks]
    difference = MISSING if math.isnan(row["difference"]) else f"{row['difference']:+.2f}"
    if difference != MISSING and row["comparable"] == UNKNOWN:
        difference = f"({difference})"
    inside = {True: "yes", False: "no"}.get(row["inside"], MISSING)
    value = MISSING if math.isnan(row["published"]) else f"{row['published']:.{decimals}f}"
    first = [Cell(row["method"]), Cell(value, published, mark), Cell(_mean(row, interval), ours)]
    return [*first, Cell(difference), Cell(inside), Cell(", ".join(letters))]


def _mean(row: dict, interval: bool) -> str:
    if not row["n"] and math.isnan(row["ours"]):
        return MISSING
    mark = f" {MARK}" if row["collapsed"] else ""
    return f"{plus_minus(row['ours'], row['ci95' if interval else 'std'])} ({row['n']}){mark}"


def _rankable(group: list[dict]) -> list[float | None]:
    """Our numbers of a group, or None for each if they have different backbones and cannot be ranked."""
    same = len({row["ours_backbone"] for row in group if not math.isnan(row["ours"])}) <= 1
    return [row["ours"] if same else None for row in group]


def _heading(key: tuple) -> str:
    part, noise, rate, attack, metric = key
    share = "" if rate is None else f"{noise} {100 * rate:g} %"
    return " ".join(filter(None, [PARTS.get(part, part), share, attack, METRICS.get(metric, metric)]))


def _letter(number: int) -> str:
    """The name of a note from its number: a, b, ... z, aa, ab, ..."""
    before, here = divmod(number, 26)
    return (_letter(before - 1) if before else "") + chr(ord("a") + here)
