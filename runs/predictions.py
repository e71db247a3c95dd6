"""Formats predictions as a table, CSV or JSON."""

from __future__ import annotations

import csv
import io
import json
from typing import NamedTuple

from tabulate import tabulate

FORMATS = ("table", "csv", "json")


class Prediction(NamedTuple):
    """The most likely classes of an image, best first, with their probabilities in 0 .. 1."""

    image: str
    best: list[tuple[str, float]]


def _json(value: dict, encoding: str) -> str:
    """The value as JSON, with non-ASCII characters escaped only if `encoding` cannot represent one of them."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = json.dumps(value, indent=2, allow_nan=False)
    return text + "\n"


def render(found: list[Prediction], facts: dict, form: str, encoding: str = "utf-8") -> str:
    """The predictions as text. form: one of FORMATS. facts: on the model, for JSON and for the line above the table.

    encoding: the encoding that the text will be written in.
    """
    if form == "json":
        images = [
            {"image": image, "top": [{"class": name, "probability": p} for name, p in best]} for image, best in found
        ]
        return _json({**facts, "predictions": images}, encoding)
    rows = [(image, rank, name, p) for image, best in found for rank, (name, p) in enumerate(best, start=1)]
    if form == "csv":
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("image", "rank", "class", "probability"))
        writer.writerows((image, rank, name, f"{p:.6f}") for image, rank, name, p in rows)
        return text.getvalue()
    shown = [(image if rank == 1 else "", name, f"{100 * p:.1f}%") for image, rank, name, p in rows]
    head = f"{facts['trainer']} of {facts['model_dir']}" + (f", epoch {facts['epoch']}" if facts["epoch"] else "")
    table = tabulate(
        shown, ("image", "class", "probability"), colalign=("left", "left", "right"), disable_numparse=True
    )
    return f"{head}; {facts['classes']} classes\n\n{table}\n"
