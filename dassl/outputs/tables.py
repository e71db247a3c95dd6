"""Reads outputs from a table, CSV or Parquet: written by hand, or by runs of older versions."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence

import numpy as np

from dassl.utils.errors import InputError

TABLES = (".csv", ".parquet")
# Columns of older tables: those of a test-time method, and of an evaluation under attack.
RENAMED = {
    "after": "prediction", "confidence_after": "confidence", "before": "before.prediction",
    "confidence_before": "before.confidence", "clean": "prediction", "clean_confidence": "confidence",
    "ordinary": "ordinary.prediction",
}  # fmt: skip
MODES = ("transfer", "white-box", "adaptive")
PARTS = {"": "prediction", "_confidence": "confidence", "_survived": "survived", "_broken_by": "broken_by"}
RENAMED |= {f"{mode}{old}": f"{mode}.{new}" for mode in MODES for old, new in PARTS.items()}
WHOLE = ("label", "prediction", "survived")
NUMBERS = ("confidence", "nll", "brier", "max_logit", "logsumexp")
_PLAIN = re.compile(r"[ \x21-\x5e\x60-\x7e]+")  # Python also reads 1_0 and digits of other scripts as numbers
OF_CLASSES = ("logits", "relative_logits", "top5", "top5_logits", "known", "classnames")


def read_table(file: str) -> dict[str, np.ndarray]:
    """{name as in an .npz file: column}; columns of other names hold text. Raises OSError, InputError for a value of
    the wrong kind, and ValueError for a file that is no such table."""
    columns = _parquet(file) if file.endswith(".parquet") else _csv(file)
    names: dict[str, str] = {}
    for name in columns:
        new = RENAMED.get(name, name)
        if new in names:
            raise InputError(f"it has {new} twice, as the columns {names[new]} and {name}; leave one out.")
        if name and name != "index":
            names[new] = name
    if "label" not in names or "prediction" not in names:
        raise InputError(f"a table needs the columns label and prediction, and it has {', '.join(columns) or 'none'}.")
    if of_classes := next((name for name in OF_CLASSES if name in names), None):
        raise InputError(f"a table has no {of_classes}; write an .npz file to give them.")
    if not columns[names["label"]]:
        raise InputError("it has no images.")
    return {new: _column(columns[old], old, new.rpartition(".")[2]) for new, old in names.items()}


def _csv(file: str) -> dict[str, list]:
    try:
        with open(file, newline="", encoding="utf-8-sig") as stream:
            rows = list(csv.reader(stream))
    except csv.Error as error:
        raise ValueError(error) from error
    except UnicodeDecodeError as error:
        raise InputError("it is not text in UTF-8.") from error
    head, rows = (rows[0], [row for row in rows[1:] if row]) if rows else ([], [])
    if double := next((name for name in head if head.count(name) > 1), None):
        raise InputError(f"it has two columns {double!r}.")
    for line, row in enumerate(rows, 2):
        if len(row) != len(head):
            raise InputError(f"line {line} has {len(row)} values for {len(head)} columns.")
    return {name: [row[i] for row in rows] for i, name in enumerate(head)}


def _parquet(file: str) -> dict[str, list]:
    try:
        from pyarrow import ArrowException  # type: ignore[import-untyped]
        from pyarrow.parquet import read_table as read  # type: ignore[import-untyped]
    except ImportError as error:
        raise InputError("Parquet is read with pyarrow, which is not installed; write .csv or .npz.") from error
    try:
        found = read(file, partitioning=None)
        head = found.column_names
        if double := next((name for name in head if head.count(name) > 1), None):
            raise InputError(f"it has two columns {double!r}.")
        return found.to_pydict()
    except ArrowException as error:
        raise ValueError("it is no whole Parquet file") from error


def _column(values: Sequence, name: str, kind: str) -> np.ndarray:
    if kind not in (*WHOLE, *NUMBERS):
        return np.array(["" if value is None else str(value) for value in values], dtype=str)
    found = []
    for line, value in enumerate(values, 2):
        try:
            if isinstance(value, bool) or not _PLAIN.fullmatch(str(value)):
                raise ValueError
            found.append(int(str(value)) if kind in WHOLE else float(value))
        except (TypeError, ValueError):
            need = "whole number" if kind in WHOLE else "number"
            shown = repr(value) if len(repr(value)) <= 40 else f"{value!r:.40}..."
            raise InputError(f"{name} in line {line} is {shown}, not a {need}.") from None
    return np.array(found)
