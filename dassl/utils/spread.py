"""The number after ± in all tables and figures: the sample standard deviation over seeds, or on request an interval.

Only `parse_test_res.py` prints CoOp's population deviation instead.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Iterable, Sequence

import numpy as np

DEVIATION = "the sample standard deviation over seeds"
INTERVAL = "half the width of Student's 95 % interval of the mean over seeds"
MISSING = "-"


def words(interval: bool = False) -> str:
    """The end of a caption that begins "± is"."""
    return INTERVAL if interval else DEVIATION


def deviation(values: Sequence[float] | np.ndarray) -> float:
    """Sample standard deviation, divided by n - 1; NaN for fewer than two values, which have none."""
    return float(np.std(np.asarray(values, dtype=float), ddof=1)) if len(values) > 1 else math.nan


def half_width(values: Sequence[float] | np.ndarray) -> float:
    """Half the width of the 95 % interval of the mean by Student's t, with n - 1 degrees of freedom; NaN for fewer
    than two values."""
    from scipy.special import stdtrit  # imported here, as few commands ask for an interval

    n = len(values)
    return float(stdtrit(n - 1, 0.975)) * deviation(values) / math.sqrt(n) if n > 1 else math.nan


def spread(values: Sequence[float] | np.ndarray, interval: bool = False) -> float:
    """The number after ±; NaN for fewer than two values."""
    return half_width(values) if interval else deviation(values)


def plus_minus(mean: float, spread: float, digits: int = 2) -> str:
    """ "81.00 ± 1.41"; the mean alone where the spread is NaN."""
    text = f"{mean:.{digits}f}"
    return text if math.isnan(spread) else f"{text} ± {spread:.{digits}f}"


class Marked(float):
    """A number that tables show with a mark behind it, such as "‡"; `mean` and `shown` keep the mark."""

    def __new__(cls, value: float, mark: str) -> Marked:
        number = super().__new__(cls, value)
        number.mark = mark
        return number

    mark: str


def mark_of(values: Iterable[float]) -> str:
    """The mark of the first value that has one; "" for none."""
    return next((value.mark for value in values if isinstance(value, Marked)), "")


def marked_as(number: float, values: Iterable[float]) -> float:
    """The number, which was computed from the values, with the mark of the first of these that has one."""
    mark = mark_of(values)
    return Marked(number, mark) if mark else number


def mean(values: Collection[float]) -> float:
    """The mean, with a mark if one of the values has one."""
    return marked_as(statistics.fmean(values), values)


def shown(values: Sequence[float], digits: int = 2, interval: bool = False) -> str:
    """Mean and spread of the values as text; one value without ±; "-" for no values; a mark of theirs behind it."""
    if not values:
        return MISSING
    text = plus_minus(statistics.fmean(values), spread(values, interval), digits)
    return f"{text} {mark_of(values)}".rstrip()
