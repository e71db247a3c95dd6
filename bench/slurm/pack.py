"""Distributes runs over tasks. Short runs share a task, since each task waits in the queue and starts Python once."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from ..running.estimate import Kind, kind_of
from ..running.stacking import stacked
from ..suites.suite import Run

FULL = 30 * 60.0  # seconds of work that fill a task


def pack(
    runs: Sequence[Run], seconds: Mapping[Kind, Sequence[float]], minutes: int, count: int = 0, stack: int = 1
) -> list[tuple[Run, ...]]:
    """The runs in their order, split into tasks of `count` runs, or of as many as fill half an hour. Runs that are
    trained at once, up to `stack`, come into one task, also where they are more than it would hold.

    seconds: times of earlier runs (`estimate.seconds_of`). A run without an estimate gets a task of its own. A task is
    planned to take at most half of its limit of `minutes`, since estimates are rough and nodes differ.
    """
    full = count or min(FULL, minutes * 60 / 2)
    tasks: list[list[Run]] = []
    filled = full
    for together in stacked(runs, stack):
        cost = len(together) if count else sum(_cost(run, seconds, full) for run in together)
        if filled + cost > full:
            tasks.append([])
            filled = 0.0
        tasks[-1] += together
        filled += cost
    return [tuple(task) for task in tasks]


def _cost(run: Run, seconds: Mapping[Kind, Sequence[float]], full: float) -> float:
    known = seconds.get(kind_of(run))
    return statistics.fmean(known) if known else full
