"""What counts of right and wrong images say: an interval for one method, and a test for two on the same images."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from dassl.utils import InputError

Z = 1.959963984540054  # 97.5 % of the standard normal distribution lie below it


def wilson(right: int, count: int) -> tuple[float, float]:
    """95 % interval, in percent, of the share that `right` of `count` images are (Wilson, 1927)."""
    if count == 0:
        return 0.0, 100.0
    p, z2 = right / count, Z * Z
    middle = (p + z2 / (2 * count)) / (1 + z2 / count)
    half = Z / (1 + z2 / count) * math.sqrt(p * (1 - p) / count + z2 / (4 * count * count))
    return 100 * max(0.0, middle - half), 100 * min(1.0, middle + half)


class Paired(NamedTuple):
    """only_first, only_second: images that one method alone has right; p: two-sided, exact, of their being so uneven by
    chance (McNemar's test as a binomial one)."""

    only_first: int
    only_second: int
    p: float


def mcnemar(first: Sequence[bool], second: Sequence[bool]) -> Paired:
    """first, second: which of the same images two methods have right."""
    b = sum(x and not y for x, y in zip(first, second, strict=True))
    c = sum(y and not x for x, y in zip(first, second, strict=True))
    tail = sum(math.comb(b + c, i) for i in range(min(b, c) + 1))
    return Paired(b, c, min(1.0, 2 * tail / 2 ** (b + c)))


def compare(first: Path, second: Path, column: str = "survived") -> Paired:
    """`mcnemar` of two runs' outputs.csv, by a column of 0 and 1. Raises InputError unless both saw the same images."""
    found = [_read(file, column) for file in (first, second)]
    if found[0].keys() != found[1].keys():
        raise InputError(f"{first} and {second} are about different images; compare runs on one set.")
    return mcnemar(list(found[0].values()), [found[1][path] for path in found[0]])


def _read(file: Path, column: str) -> dict[str, bool]:
    """{image: whether the column says 1}."""
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
