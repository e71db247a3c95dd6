"""Tables and reliability diagrams of tests' outputs."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from dassl.metrics.calibration import ece, reliability
from dassl.outputs.pairs import Comparison
from dassl.outputs.reading import Outputs
from dassl.outputs.scores import OPEN_WORLD, TITLES, all_scores, scores
from dassl.utils import InputError

from ..reading.outputs import Scored
from .formats import Cell, TextTable
from .formats import render as render_tables

HEADS = {
    "run": "run", "answer": "answer", "images": "images", **TITLES, **OPEN_WORLD, "temperature": "T",
    "gain": "gain, points",
    "gain_low": "from", "gain_high": "to", "nll_gain": "NLL gain", "nll_gain_low": "from", "nll_gain_high": "to",
    "only_here": "right only here", "only_there": "only there", "mcnemar_p": "McNemar p",
}  # fmt: skip
TEXT = ("run", "answer")
ENDINGS = (".png", ".pdf", ".svg")


def rows_of(
    found: Scored, answers: bool = False, scaled: tuple[float, Outputs] | None = None, against: Scored | None = None
) -> list[dict]:
    """A row for the answer, one for it at another temperature, and with `answers` one for each further answer.

    scaled: (temperature, outputs at it). against: another method's outputs, with which the answer is compared; a gain
    is this one less the other. `differs`: whether results.json has other figures.
    """
    outputs = found.outputs
    own = all_scores(outputs)
    named = str(outputs.about.get("answer") or "") if outputs.others else ""
    head = {"run": found.name, "answer": named, "images": int((outputs.label >= 0).sum())}
    compared = {} if against is None else _compared(Comparison(outputs, against.outputs))
    rows = [head | own.get("", {}) | {"differs": _differs(found, own)} | compared]
    if scaled is not None:
        t, then = scaled
        rows.append(head | {"answer": f"{named} / T".strip(), "temperature": t} | scores(then.label, then.answer))
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
    if form == "json":
        return json.dumps([{key: row[key] for key in keys if key in row} for row in rows], indent=4) + "\n"
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


def _shown(key: str, value: object) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, float):
        return f"{value:.2g}" if key == "mcnemar_p" else f"{value:.4f}" if key in ("brier", "nll") else f"{value:.2f}"
    return str(value)


def reliability_diagrams(found: Mapping[str, Outputs], file: Path) -> None:
    """Draw a diagram for each: accuracy in bins of confidence, with the share of images in them below (DeGroot and
    Fienberg 1983; Guo et al., ICML 2017). Raises InputError for outputs without confidences, and a file's ending."""
    from dassl.utils import atomic_path

    from .figures import grid, pyplot

    if file.suffix not in ENDINGS:
        raise InputError(f"--reliability {file} must end in one of {', '.join(ENDINGS)}.")
    figure, axes = grid(len(found))
    for ax, (name, outputs) in zip(axes, found.items(), strict=True):
        known, answer = outputs.label >= 0, outputs.answer
        if answer.confidence is None:
            raise InputError(f"{outputs.file} has no confidences, which a reliability diagram shows.")
        confidence, right = answer.confidence[known], answer.prediction[known] == outputs.label[known]
        bins = reliability(confidence, right)
        width = 1 / len(bins.upper)
        ax.bar(
            bins.upper - width, bins.accuracy, width, align="edge", color="#0072B2", edgecolor="white", linewidth=0.5
        )
        ax.bar(bins.upper - width, -0.2 * bins.images / bins.images.max(), width, align="edge", color="#bbbbbb")
        ax.plot([0, 1], [0, 1], color="#D55E00", linewidth=1)
        ax.set(xlim=(0, 1), ylim=(-0.22, 1), xlabel="confidence", ylabel="accuracy")
        ax.set_yticks([0, 0.5, 1])
        ax.set_title(f"{name[-28:]}, ECE {100 * ece(confidence, right):.1f} %")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(file) as temporary:
            figure.savefig(temporary, dpi=200, format=file.suffix[1:])
    except OSError as error:
        raise InputError(f"{file} cannot be written ({error.strerror or error}); name another file.") from error
    finally:
        pyplot().close(figure)
