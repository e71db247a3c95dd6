"""Statistics of correctly classified images: an interval for one method, tests for two on the same images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

Z = 1.959963984540054  # 97.5 % of the standard normal distribution lie below it
_AT_ONCE = 4_000_000  # drawn numbers held in memory


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


def mcnemar(first: Sequence[bool] | np.ndarray, second: Sequence[bool] | np.ndarray) -> Paired:
    """McNemar's test of two methods (Psychometrika 1947, in its exact form). first, second: whether each classifies an
    image correctly, for the same images in the same order."""
    one, two = np.asarray(first, bool), np.asarray(second, bool)
    if one.shape != two.shape:
        raise ValueError(f"both methods need the same images, but have {len(one)} and {len(two)}")
    b, c = int((one & ~two).sum()), int((two & ~one).sum())
    ways, tail = 1, 1  # C(b + c, i), one from the last; math.comb takes minutes for ImageNet's thousands of images
    for i in range(min(b, c)):
        ways = ways * (b + c - i) // (i + 1)
        tail += ways
    return Paired(b, c, min(1.0, tail / 2 ** (b + c - 1)) if b + c else 1.0)


class Interval(NamedTuple):
    """A difference of means with its 95 % interval."""

    difference: float
    low: float
    high: float


def paired_bootstrap(
    first: Sequence[float] | np.ndarray, second: Sequence[float] | np.ndarray, draws: int = 10_000, seed: int = 0
) -> Interval:
    """mean(first) - mean(second), with the 95 % percentile interval over `draws` samples of images with replacement
    (Efron and Tibshirani, 1993). first, second: a value of each image, in the same order.

    Both methods are drawn together, image by image, so that the difficulty of an image, which they share, cancels.
    The interval is for other test images, not for other seeds of the training.
    """
    gap = np.asarray(first, float) - np.asarray(second, float)
    values, place = np.unique(gap, return_inverse=True)
    random = np.random.default_rng(seed)
    if len(values) <= 64:  # few distinct values (right, wrong): the count of each is drawn from the multinomial
        means = random.multinomial(len(gap), np.bincount(place) / len(gap), draws) @ values / len(gap)
    else:
        sizes = [min(_AT_ONCE // len(gap) + 1, draws - done) for done in range(0, draws, _AT_ONCE // len(gap) + 1)]
        means = np.concatenate([gap[random.integers(len(gap), size=(n, len(gap)))].mean(1) for n in sizes])
    low, high = np.quantile(means, (0.025, 0.975))
    return Interval(float(gap.mean()), float(low), float(high))
