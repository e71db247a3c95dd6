"""Estimates the time that the remaining tasks will take."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence

from tqdm import tqdm


class TimeLeft:
    """The time that the remaining tasks will take. A task counts as the mean of its kind, or of all if none has run.

    kind: task -> its kind; tasks of one kind take about the same time. seconds: {kind: times of earlier ones}.
    """

    def __init__(
        self,
        tasks: Sequence,
        workers: int,
        kind: Callable[..., Hashable],
        seconds: dict[Hashable, list[float]] | None = None,
    ) -> None:
        self.left, self.workers, self.kind = defaultdict(int), workers, kind
        for task in tasks:
            self.left[kind(task)] += 1
        self.seconds: dict[Hashable, list[float]] = defaultdict(list, seconds or {})

    def done(self, task: object, seconds: float) -> None:
        self.left[self.kind(task)] -= 1
        if seconds > 1:  # a shorter one was finished before, and is no estimate for the others
            self.seconds[self.kind(task)].append(seconds)

    def __str__(self) -> str:
        means = {kind: statistics.fmean(seconds) for kind, seconds in self.seconds.items() if seconds}
        if not means:
            return "time left unknown"
        overall = statistics.fmean(s for seconds in self.seconds.values() for s in seconds)
        total = sum(count * means.get(kind, overall) for kind, count in self.left.items())
        return f"about {tqdm.format_interval(total / self.workers)} left"
