"""Estimates the remaining time of a training from the times of its last steps."""

from __future__ import annotations

from collections import deque
from statistics import fmean

STEPS, PAUSES = 50, 5


class TimeLeft:
    """The mean of the last 50 steps, and of the last 5 pauses between epochs (tests, checkpoints, decisions).

    The first step of a run is slow, since workers and kernels start; it counts only while there is no other. A mean
    over all steps would be wrong by several times after a slow start, or when the load of the machine changes.
    """

    def __init__(self) -> None:
        self.steps: deque[float] = deque(maxlen=STEPS)
        self.pauses: deque[float] = deque(maxlen=PAUSES)
        self._first = True

    def step(self, seconds: float) -> None:
        """Adds the duration of a step."""
        if len(self.steps) == 1 and self._first:
            self.steps.clear()
            self._first = False
        self.steps.append(seconds)

    def pause(self, seconds: float) -> None:
        """Adds the duration of a pause between epochs."""
        self.pauses.append(seconds)

    def seconds(self, steps: int, epochs: int) -> float:
        """Estimated seconds for `steps` more steps, and `epochs` epochs after the current one."""
        return fmean(self.steps or [0.0]) * steps + fmean(self.pauses or [0.0]) * epochs
