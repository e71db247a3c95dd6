"""Judges claims by the results of a suite, as tables and as the numbers behind them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

from dassl.utils.counted import counted

from ..drawing.report import Section
from .bootstrap import DRAWS, SHARE, Cell, Interval, paired_interval
from .claim import MISSING, Claim, verdict
from .claim_results import Found, printed_difference

HEADERS = [
    "claim", "in the paper", "difference", f"{SHARE:.0%} interval", "sets x seeds", "none collapsed", "published",
    "verdict",
]  # fmt: skip
NOTE = (
    "difference: in the direction of the claim, so positive is as the paper says; percentage points (KL: nats), mean "
    "over sets of means over seeds, each pair on the same set with the same seed. interval: paired bootstrap over sets "
    f"and seeds, {DRAWS} draws. none collapsed: the difference of the pairs of which neither run collapsed, where some "
    "did. shows: the interval is above 0 (clean accuracy: above minus the margin); contradicts: "
    "below; does not show: it contains 0. published: the same difference of the paper's own numbers, on its datasets "
    f"with its CLIP. {MISSING}: not known."
)


@dataclass(frozen=True)
class Judged:
    """A claim with what was found. values: {(set, seed): (left, right)}; missing: why there is no verdict, or "";
    collapsed: the cells in which a run of either side collapsed."""

    claim: Claim
    values: dict[Cell, tuple[float, float]]
    interval: Interval | None
    published: float | None
    missing: str
    collapsed: frozenset[Cell] = frozenset()

    @property
    def verdict(self) -> str:
        return MISSING if self.missing else verdict(self.interval, self.claim.margin)

    @property
    def none_collapsed(self) -> float | None:
        """The mean over sets of the difference where neither run collapsed; None if none collapsed, or all of a set."""
        left = {cell: self.claim.towards(*pair) for cell, pair in self.values.items() if cell not in self.collapsed}
        if len(left) == len(self.values) or {name for name, _ in left} != {name for name, _ in self.values}:
            return None
        return paired_interval(left).mean

    def row(self) -> list[str]:
        digits = 4 if "KL" in self.claim.metric else 2
        seeds = found = spread = MISSING
        if (own := self.interval) is not None:
            seeds = f"{own.sets} x {'-'.join(dict.fromkeys(map(str, own.seeds)))}"
            found = f"{own.mean:+.{digits}f}"
            spread = MISSING if math.isnan(own.low) else f"{own.low:+.{digits}f} to {own.high:+.{digits}f}"
        published = MISSING if self.published is None else f"{self.published:+.{digits}f}"
        standing = "" if self.none_collapsed is None else f"{self.none_collapsed:+.{digits}f}"
        return [self.claim.says, self.claim.where, found, spread, seeds, standing, published, self.verdict]

    def numbers(self) -> dict:
        """Everything behind the verdict, for JSON; the interval's ends are None where there is none."""
        claim, own = self.claim, self.interval
        sides = {name: [side.block, side.method] for name, side in (("left", claim.left), ("right", claim.right))}
        means = [statistics.fmean(side) for side in zip(*self.values.values(), strict=True)] or [None, None]
        return {
            **{key: getattr(claim, key) for key in ("id", "paper", "where", "says", "metric", "sign", "margin")},
            **sides,
            "points": [list(point) for point in claim.points],
            "sets": own and own.sets,
            "seeds": own and list(own.seeds),
            "mean_left": means[0],
            "mean_right": means[1],
            "difference": own and own.mean,
            "interval": None if own is None or math.isnan(own.low) else [own.low, own.high],
            "none_collapsed": self.none_collapsed,
            "collapsed": sorted(map(list, self.collapsed)),
            "published": self.published,
            "verdict": self.verdict,
            "missing": self.missing,
            "cells": [[*cell, *pair] for cell, pair in self.values.items()],
        }


def judge(claim: Claim, found: Found) -> Judged:
    """The claim judged by the results; a claim that lacks a cell that the suite has gets no verdict."""
    published = printed_difference(claim)
    if mixed := [side for side in (claim.left, claim.right) if side in found.mixed]:
        told = "; ".join(each or "the suite's" for each in found.mixed[mixed[0]])
        return Judged(claim, {}, None, published, f"{mixed[0].method} has runs of different settings ({told})")
    planned = sorted(found.planned[claim.left] & found.planned[claim.right])
    sides = [(side, found.values(side, claim)) for side in (claim.left, claim.right)]
    (_, left), (_, right) = sides
    values = {cell: (left[cell], right[cell]) for cell in planned if cell in left and cell in right}
    differences = {cell: claim.towards(*pair) for cell, pair in values.items()}
    interval = paired_interval(differences) if differences else None
    gaps = [
        f"{side.method} of {side.block}, {cell[0]}, seed {cell[1]}"
        for side, own in sides
        for cell in planned
        if cell not in own
    ]
    missing = ""
    if gaps:
        count = len(planned) - len(values)
        missing = f"{count} of {counted(len(planned), 'pair')} not finished, such as {gaps[0]}"
    elif interval is None or math.isnan(interval.low):
        missing = "one set with one seed has no interval; give more --seeds"
    return Judged(claim, values, interval, published, missing, frozenset(found.collapsed(claim) & values.keys()))


def sections(judged: Sequence[Judged]) -> list[Section]:
    """A table for each paper, with a note below the last."""
    papers = dict.fromkeys(each.claim.paper for each in judged)
    found = [
        Section(paper, "", HEADERS, [each.row() for each in judged if each.claim.paper == paper]) for paper in papers
    ]
    return found[:-1] + [replace(last, note=NOTE) for last in found[-1:]]


def without_verdict(judged: Sequence[Judged]) -> str:
    """The claims without a verdict as text, each with what is missing; "" if there are none."""
    lines = [f"- {each.claim.paper}, {each.claim.says}: {each.missing}" for each in judged if each.missing]
    return "\n".join(["Without a verdict\n", *lines]) if lines else ""
