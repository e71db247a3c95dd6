"""Estimates the time that the remaining tasks will take, from the tasks that ended last."""

from __future__ import annotations

import statistics
from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Sequence

from tqdm import tqdm

LAST = 4  # times of a kind that count; earlier ones are forgotten
RECENT = 8  # tasks that tell how fast the machine is now


class TimeLeft:
    """The time that the remaining tasks will take, from those that ended last: a machine grows slow when others use it.

    A task counts as the mean of its kind's last ones here. If none has ended here, it counts as its kind's earlier
    ones, times the pace of the tasks that ended last: their seconds over those of earlier ones of their kinds. If there
    is none of its kind at all, it counts as the last ones of any.

    kind: task -> its kind; tasks of one kind take about the same time. seconds: {kind: times of earlier ones, the
    oldest first}.
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
        self.before = {each: statistics.fmean(times[-LAST:]) for each, times in (seconds or {}).items() if times}
        self.here: dict[Hashable, deque[float]] = defaultdict(lambda: deque(maxlen=LAST))
        self.recent: deque[tuple[Hashable, float]] = deque(maxlen=RECENT)

    def done(self, task: object, seconds: float) -> None:
        kind = self.kind(task)
        self.left[kind] -= 1
        if seconds > 1:  # a shorter one was finished before, and is no estimate for the others
            self.here[kind].append(seconds)
            self.recent.append((kind, seconds))

    @property
    def pace(self) -> float:
        """How many times as long as earlier ones of their kinds the last tasks took; 1 where that is not known."""
        pairs = [(seconds, self.before[kind]) for kind, seconds in self.recent if kind in self.before]
        return sum(s for s, _ in pairs) / sum(e for _, e in pairs) if pairs else 1.0

    def __str__(self) -> str:
        if not (self.before or self.recent):
            return "time left unknown"
        means = {kind: before * self.pace for kind, before in self.before.items()}
        means |= {kind: statistics.fmean(times) for kind, times in self.here.items()}
        last = [seconds for _, seconds in self.recent] or list(self.before.values())
        total = sum(count * means.get(kind, statistics.fmean(last)) for kind, count in self.left.items())
        return f"about {tqdm.format_interval(total / self.workers)} left"
