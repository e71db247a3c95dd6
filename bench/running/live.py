"""Shows the progress of many runs: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from collections import Counter, deque

from dassl.utils.counted import counted

from .time_left import TimeLeft

logger = logging.getLogger(__name__)
EVERY = 30.0  # seconds between plain lines
SHOWN = 5  # number of ended runs in the table


class Board:
    """Counts runs and how they ended. total: number of all runs."""

    def __init__(self, total: int, left: TimeLeft) -> None:
        self.total, self.left = total, left
        self.ends: Counter[str] = Counter()
        self.running: dict[int, tuple[str, float]] = {}

    def __enter__(self) -> Board:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def started(self, worker: int, name: str) -> None:
        self.running[worker] = (name, time.monotonic())

    def ended(self, worker: int, task: object, name: str, how: str, seconds: float) -> None:
        """Count a run that has ended. how: done, failed, or another word for its end."""
        self.running.pop(worker, None)
        self.left.done(task, seconds if how == "done" else 0.0)
        self.ends[how] += 1

    def summary(self) -> str:
        counts = ", ".join(f"{count} {how}" for how, count in self.ends.items())
        total = counted(self.total, "run")
        return f"{sum(self.ends.values())} of {total}{f' ({counts})' if counts else ''}, {self.left}"


class Lines(Board):
    """Logs a line from time to time, and one for each run that was not done."""

    last = 0.0

    def ended(self, worker: int, task: object, name: str, how: str, seconds: float) -> None:
        super().ended(worker, task, name, how, seconds)
        over = sum(self.ends.values()) == self.total
        if how != "done" or over or time.monotonic() - self.last > EVERY:
            self.last = time.monotonic()
            logger.info("%s: %s %s, %.0f s", self.summary(), how, name, seconds)


class Table(Board):
    """A live table of the running runs and those that ended last."""

    def __init__(self, total: int, left: TimeLeft) -> None:
        from rich.live import Live

        super().__init__(total, left)
        self.recent: deque[tuple[str, str, float]] = deque(maxlen=SHOWN)
        self.live = Live(get_renderable=self.render, refresh_per_second=2, transient=False)

    def __enter__(self) -> Board:
        self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.live.refresh()
        self.live.stop()

    def ended(self, worker: int, task: object, name: str, how: str, seconds: float) -> None:
        super().ended(worker, task, name, how, seconds)
        self.recent.append((how, name, seconds))

    def render(self) -> object:
        from rich.console import Group
        from rich.markup import escape
        from rich.progress_bar import ProgressBar
        from rich.table import Table as Grid

        grid = Grid(box=None, padding=(0, 2, 0, 0))
        for heading in ("", "run", "seconds"):
            grid.add_column(heading, justify="right" if heading == "seconds" else "left")
        for how, name, seconds in self.recent:
            grid.add_row(f"[{'green' if how == 'done' else 'red'}]{how}", escape(name), f"{seconds:.0f}")
        now = time.monotonic()
        for worker, (name, since) in sorted(self.running.items()):
            grid.add_row(f"worker {worker}", escape(name), f"{now - since:.0f}")
        bar = Grid.grid()
        bar.add_row(ProgressBar(total=max(1, self.total), completed=sum(self.ends.values()), width=60))
        return Group(grid, bar, escape(self.summary()))


def display(total: int, left: TimeLeft) -> Board:
    return Table(total, left) if sys.stderr.isatty() and sys.stdout.isatty() else Lines(total, left)
