"""Tables of the figures that tests' outputs give."""

from __future__ import annotations

import csv
import io
import json
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from dassl.outputs.pairs import Comparison
from dassl.outputs.reading import Outputs
from dassl.outputs.scores import OPEN_WORLD, TITLES, all_scores, scores
from dassl.utils import InputError
from dassl.utils.spread import deviation, plus_minus

from ..reading.outputs import Scored, test_of
from .formats import Cell, TextTable
from .formats import render as render_tables

HEADS = {
    "run": "run", "answer": "answer", "images": "images", "seeds": "seeds", **TITLES, **OPEN_WORLD, "temperature": "T",
    "gamma": "mean gamma",
    "gain": "gain, points",
    "gain_low": "from", "gain_high": "to", "nll_gain": "NLL gain", "nll_gain_low": "from", "nll_gain_high": "to",
    "only_here": "right only here", "only_there": "only there", "mcnemar_p": "McNemar p",
}  # fmt: skip
TEXT = ("run", "answer")
ABOUT = (*TEXT, "images", "seeds")


class Spread(NamedTuple):
    """A figure over seeds: its mean, and the sample standard deviation, NaN for one seed."""

    mean: float
    deviation: float


class Changed(NamedTuple):
    """Outputs with other probabilities. how: what was done, for tables; figures: of what was done."""

    how: str
    outputs: Outputs
    figures: dict[str, float]


def rows_of(
    found: Scored, answers: bool = False, changed: Sequence[Changed] = (), against: Scored | None = None
) -> list[dict]:
    """A row for the answer, one for each way in which it was changed, and with `answers` one for each further answer.

    against: another method's outputs, with which the answer is compared; a gain
    is this one less the other. `differs`: whether results.json has other figures.
    """
    outputs = found.outputs
    own = all_scores(outputs)
    named = str(outputs.about.get("answer") or "") if outputs.others else ""
    head = {"run": found.name, "answer": named, "images": int((outputs.label >= 0).sum())}
    compared = {} if against is None else _compared(Comparison(outputs, against.outputs))
    rows = [head | own.get("", {}) | {"differs": _differs(found, own)} | compared]
    for how, then, figures in changed:
        rows.append(head | {"answer": f"{named} {how}".strip()} | figures | scores(then.label, then.answer))
    if answers:
        rows += [head | {"answer": name} | dict(own[name]) for name in outputs.others if name in own]
    return rows


def _differs(found: Scored, own: Mapping[str, Mapping[str, float]]) -> bool:
    """Whether results.json has other figures than these, in any digit."""
    record = found.record or {}
    results = record.get("results") or {}
    told = [(record.get("scores") or {}, own.get("", {}))]
    told += [(theirs, own.get(name, {})) for name, theirs in (record.get("other_scores") or {}).items()]
    told.append(({k: results[k] for k in ("accuracy", "macro_f1") if k in results}, own.get("", {})))
    return any(ours.get(key) != value for theirs, ours in told for key, value in theirs.items())


def _compared(pair: Comparison) -> dict[str, float]:
    test, gain, nll = pair.mcnemar(), pair.accuracy(), pair.nll()
    found = {"gain": gain.difference, "gain_low": gain.low, "gain_high": gain.high}
    if nll is not None:
        found |= {"nll_gain": nll.difference, "nll_gain_low": nll.low, "nll_gain_high": nll.high}
    return found | {"only_here": test.only_first, "only_there": test.only_second, "mcnemar_p": test.p}


def render(rows: Sequence[Mapping], form: str) -> str:
    """The rows as text. form: terminal, markdown or latex, rounded; csv or json, with all digits."""
    keys = [key for key in HEADS if any(key in row for row in rows) and (key != "answer" or any(r[key] for r in rows))]
    if form in ("json", "csv"):
        rows = [_flat(row) for row in rows]
        keys = [key for key in dict.fromkeys(k for row in rows for k in row) if key in keys or key.endswith("_std")]
    if form == "json":
        shown = [{key: _or_none(row[key]) for key in keys if key in row} for row in rows]
        return json.dumps(shown, indent=4, allow_nan=False) + "\n"
    if form == "csv":
        stream = io.StringIO()
        writer = csv.DictWriter(stream, keys, lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
        return stream.getvalue()
    cells = [[Cell(_shown(key, row.get(key))) for key in keys] for row in rows]
    numbers = frozenset(i for i, key in enumerate(keys) if key not in TEXT)
    notes = ["A cell without a number: the file does not have what the figure needs."]
    table = TextTable("Figures from outputs", [HEADS[key] for key in keys], cells, numbers=numbers)
    if any(cell.text == "-" for row in cells for cell in row):
        table = TextTable(table.title, table.headers, cells, notes, numbers=numbers)
    return render_tables([table], form)


def _or_none(value: object) -> object:
    """The value for JSON, which has no NaN and no infinity."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def narrowed(rows: Sequence[Mapping], figures: Sequence[str]) -> list[dict]:
    """The rows with these figures alone; with all, if there are none. Raises InputError for one that no row has."""
    there = [key for key in HEADS if key not in ABOUT and any(key in row for row in rows)]
    if unknown := [name for name in figures if name not in there]:
        raise InputError(f"--figures {unknown[0]} is not among the figures of these outputs: {', '.join(there)}.")
    kept = {*(figures or there), *ABOUT, "differs"}
    return [{key: value for key, value in row.items() if key in kept} for row in rows]


def _flat(row: Mapping) -> dict:
    """The row with each `Spread` as two figures, of which the second is left out for one seed."""
    found = {}
    for key, value in row.items():
        found[key] = value.mean if isinstance(value, Spread) else value
        if isinstance(value, Spread) and not math.isnan(value.deviation):
            found[f"{key}_std"] = value.deviation
    return found


def means(rows: Sequence[Mapping]) -> list[dict]:
    """Rows whose runs differ only in the folder of the seed at the end, as one: `Spread`s of their figures. That these
    are of one test is for `reading.outputs.check_alike` to say."""
    groups: dict[tuple, list[Mapping]] = {}
    for row in rows:
        groups.setdefault((test_of(row["run"]), row["answer"]), []).append(row)
    found = []
    for (run, answer), members in groups.items():
        keys = [key for key in HEADS if key not in ABOUT and all(key in m for m in members)]
        values = {key: [m[key] for m in members] for key in keys}
        figures = {key: Spread(statistics.fmean(each), deviation(each)) for key, each in values.items()}
        found.append({"run": run, "answer": answer, "images": members[0]["images"], "seeds": len(members), **figures})
    return found


def _shown(key: str, value: object) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, Spread):
        return plus_minus(*value, 4 if key in ("brier", "nll") else 2)
    if isinstance(value, float):
        return f"{value:.2g}" if key == "mcnemar_p" else f"{value:.4f}" if key in ("brier", "nll") else f"{value:.2f}"
    return str(value)
