"""The comparison of published numbers with our results, as a table with a row for each published number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from .our_runs import NO, YES, Match, OurRuns
from .published import Paper, Printed, Table, contradictions, unreliable

# Column -> its type.
COLUMNS = {
    "paper": "object", "table": "object", "method": "object", "dataset": "object", "part": "object",
    "noise_type": "object", "noise_rate": "float64", "attack": "object", "metric": "object", "published": "float64",
    "reported_by": "object", "measured": "object", "contradiction": "object", "unreliable": "object",
    "ours": "float64", "std": "float64", "ci95": "float64", "n": "int64",
    "comparable": "object", "difference": "float64", "inside": "object", "ours_method": "object",
    "ours_variant": "object", "ours_backbone": "object", "ours_shots": "Int64", "ours_noise_type": "object",
    "collapsed": "int64",
    "remarks": "object",
}  # fmt: skip


def compare(frame: pd.DataFrame, output: Path, paper: Paper, tables: Sequence[Table]) -> pd.DataFrame:
    """A row for each number of these tables, in the paper's order and in percent; `frame` is `collect(output)`.

    ours, std, ci95, n, collapsed: as in `aggregate`; NaN and n 0 without a result. comparable: "yes"; "unknown" if the
    paper does not state what the number depends on; "no" if our backbone, number of shots, source or data differs: then
    the difference (ours minus published) is NaN. inside: whether the published number lies in our 95 % interval; None
    with one seed, or unless `comparable` is "yes". reported_by: who prints the number; measured: whether they ran the
    method; unreliable: why the row that the number stands in cannot be relied on, or "".
    """
    rows = []
    for table in tables:
        why, doubts = contradictions(table, paper), unreliable(table, paper)
        runs = {printed: OurRuns(frame, output, table, ours) for printed, ours in table.methods.items()}
        for cell in table.cells:
            match = runs[cell.method].find(cell) if cell.method in runs else Match()
            rows.append(
                _row(cell, table, match) | {"contradiction": why.get(cell, ""), "unreliable": doubts.get(cell, "")}
            )
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)


def _row(cell: Printed, table: Table, match: Match) -> dict:
    row = {key: getattr(cell, key) for key in ("method", "dataset", "part", "noise_type", "attack", "metric")}
    row |= {"paper": table.paper, "table": table.table}
    row |= {"reported_by": table.reported_by, "measured": table.measured[cell.method]}
    row |= {"n": 0, "collapsed": 0, "inside": None}
    row |= {"noise_rate": _nan(cell.noise_rate), "published": _nan(cell.value), "comparable": match.comparable}
    row |= {"remarks": "; ".join(filter(None, [cell.note, *match.remarks]))}
    ours = match.row
    if ours is None:
        return row
    row |= {"ours": ours["mean"], "std": ours["std"], "ci95": ours["ci95"]}
    row |= {"n": ours["n"], "collapsed": ours["collapsed"]}
    row |= {f"ours_{key}": ours[key] for key in ("method", "variant", "backbone", "shots", "noise_type")}
    difference = ours["mean"] - _nan(cell.value)
    row["difference"] = math.nan if match.comparable == NO else difference
    if match.comparable == YES and ours["n"] > 1 and not math.isnan(difference):
        row["inside"] = bool(abs(difference) <= ours["ci95"])
    return row


def _nan(value: float | None) -> float:
    return math.nan if value is None else value
