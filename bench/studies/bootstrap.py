"""A bootstrap interval of the mean difference between two methods that met the same sets and seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

DRAWS = 10_000
SHARE = 0.95
Cell = tuple[str, int]  # (set, seed)


@dataclass(frozen=True)
class Interval:
    """A mean difference with its interval, in the unit of the differences. low, high: NaN if nothing can be resampled.

    sets: their number. seeds: the smallest and the largest number of seeds of a set.
    """

    mean: float
    low: float
    high: float
    sets: int
    seeds: tuple[int, int]


def paired_interval(differences: Mapping[Cell, float], draws: int = DRAWS, seed: int = 0) -> Interval:
    """The percentile bootstrap interval (95 %) of the mean difference, from {(set, seed): left less right}.

    The mean is over sets of the means over each set's seeds, so that a set with fewer seeds weighs as much as others.
    A draw resamples twice, with replacement: as many sets as there are, and within each drawn set as many of its seeds
    as it has (Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 3.8). Seeds are drawn anew
    for each drawn set, since the few-shot samples of one seed have nothing to do with each other across sets. A cell's
    two methods are never parted: what is resampled is their difference. The interval ends at the 2.5 % and 97.5 %
    quantiles of the draws' means. With one seed a set, sets alone are
    resampled, and with one set its seeds alone.

    Few sets make the interval too narrow: with normal effects of sets and seeds of one size it contains the truth in 89
    of 100 tables of five sets and three seeds, and in 81 of three sets and five seeds; in 95 where sets do not differ.

    seed: of the draws, which depend on it and on the cells alone, not on their order. Raises ValueError without cells
    and for values that are not finite.
    """
    by_set: dict[str, list[float]] = {}
    for name, number in sorted(differences):
        by_set.setdefault(name, []).append(differences[name, number])
    if not by_set or not all(math.isfinite(value) for value in differences.values()):
        raise ValueError(f"there is no interval of {dict(differences)}")
    counts = np.array([len(values) for values in by_set.values()])
    padded = np.zeros((len(counts), counts.max()))
    for row, values in zip(padded, by_set.values(), strict=True):
        row[: len(values)] = values
    about = (float((padded.sum(1) / counts).mean()), len(counts), (int(counts.min()), int(counts.max())))
    low = high = math.nan
    if counts.sum() > 1:
        means = _draw(padded, counts, draws, np.random.default_rng(seed))
        low, high = (float(x) for x in np.quantile(means, [(1 - SHARE) / 2, (1 + SHARE) / 2]))
    return Interval(about[0], low, high, *about[1:])


def _draw(padded: np.ndarray, counts: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """[draws]: the mean of each draw. padded: [sets, most seeds], of which the first `counts` of each row are used."""
    sets = rng.integers(len(counts), size=(draws, len(counts)))
    size = counts[sets]  # [draws, sets]: seeds of each drawn set
    seeds = (rng.random((*sets.shape, padded.shape[1])) * size[..., None]).astype(int)
    used = np.arange(padded.shape[1]) < size[..., None]
    values = np.where(used, padded[sets[..., None], seeds], 0.0)
    return (values.sum(2) / size).mean(1)
