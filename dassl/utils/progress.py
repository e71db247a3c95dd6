"""Progress of long loops: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator, Sized
from datetime import timedelta

logger = logging.getLogger(__name__)
LINE_SECONDS = 30  # a log without a bar gets a line about this often


def on_terminal() -> bool:
    return bool(getattr(sys.stderr, "isatty", lambda: False)())


def progress(iterable: Sized, desc: str = "", lines: bool = True) -> Iterator:
    """Iterate, showing a bar if stderr is a terminal, else (with `lines`) a log line every half minute."""
    if on_terminal():
        from tqdm import tqdm

        yield from tqdm(iterable, desc=desc, leave=False, dynamic_ncols=True)
        return
    start = last = time.monotonic()
    total = len(iterable)
    for done, item in enumerate(iterable):
        now = time.monotonic()
        if lines and done and now - last >= LINE_SECONDS:
            last = now
            eta = timedelta(seconds=int((now - start) / done * (total - done)))
            logger.info("%s [%d/%d] eta %s", desc, done, total, eta)
        yield item
