"""Reads outputs from a CSV table: written by hand, or by runs of older versions."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence

import numpy as np

from dassl.utils.errors import InputError

# Columns of older tables: those of a test-time method, and of an evaluation under attack.
RENAMED = {
    "after": "prediction", "confidence_after": "confidence", "before": "before.prediction",
    "confidence_before": "before.confidence", "clean": "prediction", "clean_confidence": "confidence",
    "ordinary": "ordinary.prediction",
}  # fmt: skip
MODES = ("transfer", "white-box", "adaptive")
PARTS = {"": "prediction", "_confidence": "confidence", "_survived": "survived", "_broken_by": "broken_by"}
RENAMED |= {f"{mode}{old}": f"{mode}.{new}" for mode in MODES for old, new in PARTS.items()}
TEXT = ("path", "broken_by")
WHOLE = ("label", "prediction", "survived")


def read_table(file: str) -> dict[str, np.ndarray]:
    """{name as in an .npz file: column}. Raises OSError, InputError for a value of the wrong kind, and ValueError."""
    try:
        with open(file, newline="", encoding="utf-8-sig") as stream:
            rows = list(csv.DictReader(stream))
    except csv.Error as error:
        raise ValueError(error) from error
    if not rows:
        raise InputError("it has no images.")
    given = [name for name in rows[0] if name and name != "index"]
    names = [RENAMED.get(name, name) for name in given]
    if "label" not in names or "prediction" not in names:
        raise InputError(f"a table needs the columns label and prediction, and it has {', '.join(given) or 'none'}.")
    return {new: _column(rows, old, new.rpartition(".")[2]) for old, new in zip(given, names, strict=True)}


def _column(rows: Sequence[Mapping], name: str, kind: str) -> np.ndarray:
    values = [row[name] for row in rows]
    if kind in TEXT:
        return np.array([value or "" for value in values], dtype=str)
    read = int if kind in WHOLE else float
    found = []
    for line, value in enumerate(values, 2):
        try:
            found.append(read(value))
        except (TypeError, ValueError):
            need = "whole number" if read is int else "number"
            raise InputError(f"{name} in line {line} is {value!r}, not a {need}.") from None
    return np.array(found)
