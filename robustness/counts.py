"""Compares two evaluations under attack on the same images."""

from __future__ import annotations

import os
from pathlib import Path

from dassl.metrics.paired import Paired, mcnemar
from dassl.outputs.reading import read_outputs
from dassl.utils import InputError

FILES = ("outputs.npz", "outputs.csv")  # the second one of older evaluations


def compare(first: Path, second: Path, column: str = "survived") -> Paired:
    """McNemar's test on a 0/1 column of the outputs of two evaluations, given as folders or files. Raises InputError
    unless both have the same images."""
    found = [_read(where, column) for where in (first, second)]
    if found[0].keys() != found[1].keys():
        raise InputError(f"{first} and {second} are about different images; compare runs on one set.")
    return mcnemar(list(found[0].values()), [found[1][path] for path in found[0]])


def _read(where: Path, column: str) -> dict[str, bool]:
    """{image: whether its value in the column is 1}."""
    there = [where / name for name in FILES if os.path.isfile(where / name)] if os.path.isdir(where) else [where]
    if not there:
        raise InputError(f"{where} has no {FILES[0]}; name the folder of a finished evaluation under attack.")
    found = read_outputs(there[0])
    values = found.more.get(column)
    if found.path is None or values is None or not set(values.tolist()) <= {0, 1}:
        what = "no paths" if found.path is None else f"no column {column} of 0 and 1"
        raise InputError(f"{there[0]} has {what}, so it is not of an evaluation under attack.")
    return {path: bool(value) for path, value in zip(found.path, values.tolist(), strict=True)}
