"""What a claim compares: one number of a method on one set with one seed, made of that cell's results."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence

Point = tuple[str, float]  # type and rate of label noise, or kind and strength of noisy text
# Results of one method on one set with one seed, in percent, by (what, noise type, rate). what is a part of the
# classes or the datasets (all, base, new, hm, source, target), an evaluation (clean, transfer, adaptive), TEXT, or KL.
Key = tuple[str, str, float]
Results = Mapping[Key, float]
KL = "kl of new classes"
TEXT = "noisy text"  # accuracy on all classes under a kind and strength


def one(what: str) -> Callable[[Results, Sequence[Point]], float | None]:
    """The metric that is one of the results, without label noise."""
    return lambda results, points: results.get((what, "", 0.0))


def hm(results: Results, points: Sequence[Point]) -> float | None:
    """The harmonic mean of base and new, as printed where only that is known."""
    base, new, printed = (results.get((part, "", 0.0)) for part in ("base", "new", "hm"))
    if printed is not None or base is None or new is None:
        return printed
    return 2 * base * new / (base + new) if base + new else 0.0


def accuracy(results: Results, points: Sequence[Point]) -> float | None:
    """The mean of the accuracies at the points."""
    found = _at(results, points)
    return statistics.fmean(found) if found else None


def slope(results: Results, points: Sequence[Point]) -> float | None:
    """The least-squares slope of accuracy over the rates of the points, in percentage points for 10 % more noise."""
    found = _at(results, points)
    if not found:
        return None
    rates = [rate for _, rate in points]
    middle = statistics.fmean(rates)
    return (
        0.1 * sum((x - middle) * y for x, y in zip(rates, found, strict=True)) / sum((x - middle) ** 2 for x in rates)
    )


def loss(results: Results, points: Sequence[Point]) -> float | None:
    """The accuracy that is lost between the source's own images and the target's."""
    source, target = (results.get((part, "", 0.0)) for part in ("source", "target"))
    return None if source is None or target is None else source - target


def text_loss(results: Results, points: Sequence[Point]) -> float | None:
    """The accuracy that is lost by noise in the text, the mean over the points."""
    clean, noisy = results.get(("all", "", 0.0)), [results.get((TEXT, kind, strength)) for kind, strength in points]
    there = [value for value in noisy if value is not None]
    return None if clean is None or len(there) < len(points) else clean - statistics.fmean(there)


def _at(results: Results, points: Sequence[Point]) -> list[float]:
    """The accuracy at each point, on all classes; empty if one is missing."""
    found = [results.get(("all", kind, rate)) for kind, rate in points]
    return [] if None in found else [value for value in found if value is not None]


METRICS: dict[str, Callable[[Results, Sequence[Point]], float | None]] = {
    "HM": hm,
    "accuracy": accuracy,
    "slope": slope,
    "loss": loss,
    "text loss": text_loss,
    "clean": one("clean"),
    "transfer": one("transfer"),
    "adaptive": one("adaptive"),
    "new-class KL": one(KL),
}
