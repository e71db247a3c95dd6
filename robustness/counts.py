"""Statistics of correctly classified images: an interval for one method, and a test for two on the same images."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from dassl.utils import InputError

Z = 1.959963984540054  # 97.5 % of the standard normal distribution lie below it


def wilson(right: int, count: int) -> tuple[float, float]:
    """95 % interval of the share `right` / `count`, in percent (Wilson, 1927)."""
    if count == 0:
        return 0.0, 100.0
    p, z2 = right / count, Z * Z
    middle = (p + z2 / (2 * count)) / (1 + z2 / count)
    half = Z / (1 + z2 / count) * math.sqrt(p * (1 - p) / count + z2 / (4 * count * count))
    return 100 * max(0.0, middle - half), 100 * min(1.0, middle + half)


class Paired(NamedTuple):
    """The result of McNemar's test. only_first, only_second: images that only this method classifies correctly; p: the
    exact two-sided p-value, from the binomial distribution."""

    only_first: int
    only_second: int
    p: float


def mcnemar(first: Sequence[bool], second: Sequence[bool]) -> Paired:
    """McNemar's test of two methods. first, second: whether each classifies an image correctly, for the same images."""
    b = sum(x and not y for x, y in zip(first, second, strict=True))
    c = sum(y and not x for x, y in zip(first, second, strict=True))
    tail = sum(math.comb(b + c, i) for i in range(min(b, c) + 1))
    return Paired(b, c, min(1.0, 2 * tail / 2 ** (b + c)))


def compare(first: Path, second: Path, column: str = "survived") -> Paired:
    """`mcnemar` of a 0/1 column of two outputs.csv. Raises InputError unless both have the same images."""
    found = [_read(file, column) for file in (first, second)]
    if found[0].keys() != found[1].keys():
        raise InputError(f"{first} and {second} are about different images; compare runs on one set.")
    return mcnemar(list(found[0].values()), [found[1][path] for path in found[0]])


def _read(file: Path, column: str) -> dict[str, bool]:
    """{image: whether its value in the column is 1}."""
    found: dict[str, bool] = {}
    try:
        with open(file, newline="", encoding="utf-8-sig") as stream:
            for row in csv.DictReader(stream):
                path, value = row["path"], row[column]
                if not path or path in found or value not in ("0", "1"):
                    raise ValueError(f"line {len(found) + 2}: {path!r} with {column} {value!r}")
                found[path] = value == "1"
        if not found:
            raise ValueError("it has no images")
    except (OSError, KeyError, ValueError, csv.Error) as error:
        why = getattr(error, "strerror", None) or (
            f"it has no column {error}" if isinstance(error, KeyError) else error
        )
        raise InputError(f"{file} is not the outputs.csv of an evaluation under attack ({why}).") from error
    return found
