"""A line now and then while an attack takes long: how far it is, and how long the rest of it takes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import timedelta

from .evaluation import Evaluate

logger = logging.getLogger(__name__)
EVERY = 30.0  # seconds between lines


class Told:
    """`tick()` after each of `total` pieces of work that take about as long as each other."""

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
        """The same, with a tick after each."""

        def told(*arguments):
            value = evaluate(*arguments)
            self.tick()
            return value

        return told
