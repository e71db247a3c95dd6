"""Progress lines of long attacks: the steps done, and an estimate of the time left."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import timedelta

from .evaluation import Evaluate

logger = logging.getLogger(__name__)
EVERY = 30.0  # seconds between lines


class Told:
    """Logs progress. what: name of the work in the log. Call `tick()` after each of `total` steps of similar length."""

    def __init__(self, what: str, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.what, self.total, self.clock = what, total, clock
        self.done, self.start = 0, clock()
        self.last = self.start

    def tick(self) -> None:
        self.done += 1
        now = self.clock()
        if now - self.last < EVERY or self.done >= self.total:
            return
        self.last = now
        left = timedelta(seconds=round((now - self.start) / self.done * (self.total - self.done)))
        logger.info("%s: %d of %d steps, about %s left", self.what, self.done, self.total, left)

    def evaluations(self, evaluate: Evaluate) -> Evaluate:
        """`evaluate` with a `tick()` after each call."""

        def told(*arguments):
            value = evaluate(*arguments)
            self.tick()
            return value

        return told
