"""A claim of a paper as a comparison of two methods, and how it is judged."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .bootstrap import Interval
from .claim_metrics import METRICS, Point

SHOWS, CONTRADICTS, OPEN, MISSING = "shows", "contradicts", "does not show", "-"


@dataclass(frozen=True)
class Side:
    """One side of a comparison: a method in a block of the suite."""

    block: str
    method: str


@dataclass(frozen=True)
class Published:
    """Where the paper prints the two sides: names of `bench/comparing/published/PAPER.json`."""

    paper: str
    table: str
    left: str
    right: str


@dataclass(frozen=True)
class Claim:
    """A claim: `left` has more of `metric` than `right`; with `sign` -1, less.

    where: in the paper. metric: a key of `METRICS`. points: types and rates of label noise, or kinds and strengths of
    noisy text, that the metric takes in. margin: how much may be lost where the claim is that something is kept.
    """

    id: str
    paper: str
    where: str
    says: str
    metric: str
    left: Side
    right: Side
    points: tuple[Point, ...] = ()
    sign: int = 1
    margin: float = 0.0
    published: Published | None = None

    def __post_init__(self) -> None:
        assert self.metric in METRICS and self.sign in (1, -1) and self.margin >= 0, self.id

    def towards(self, left: float, right: float) -> float:
        """The difference in the direction of the claim: positive if it is as the paper says."""
        return self.sign * (left - right)


def verdict(interval: Interval | None, margin: float = 0.0) -> str:
    """shows: the whole interval is above -margin; contradicts: below it; does not show: -margin lies in the interval.

    "-" without an interval. interval: of the difference in the direction of the claim.
    """
    if interval is None or math.isnan(interval.low):
        return MISSING
    if interval.low > -margin:
        return SHOWS
    return CONTRADICTS if interval.high < -margin else OPEN
