"""Progress of long loops: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import logging
import sys
import time
from collections import deque
from collections.abc import Iterator
from datetime import timedelta
from typing import TypeVar

from dassl.protocols import SizedIterable

logger = logging.getLogger(__name__)
LINE_SECONDS = 30  # a log without a bar gets a line about this often
T = TypeVar("T")
RECENT = 3  # the rate over this many log lines gives the time left, since the machine's load may change


def on_terminal() -> bool:
    """Whether stderr is a terminal."""
    return bool(getattr(sys.stderr, "isatty", lambda: False)())


def progress(iterable: SizedIterable[T], desc: str = "", lines: bool = True) -> Iterator[T]:
    """Iterate, showing a bar if stderr is a terminal, else (with `lines`) a log line every half minute."""
    if on_terminal():
        from tqdm import tqdm

        yield from tqdm(iterable, desc=desc, leave=False, dynamic_ncols=True)
        return
    last = time.monotonic()
    total, seen = len(iterable), deque([(last, 0)], maxlen=RECENT)
    for done, item in enumerate(iterable):
        now = time.monotonic()
        if lines and done and now - last >= LINE_SECONDS:
            last = now
            before, then = seen[0]
            seen.append((now, done))
            eta = timedelta(seconds=int((now - before) / (done - then) * (total - done)))
            logger.info("%s [%d/%d] eta %s", desc, done, total, eta)
        yield item
