"""Progress of something measured in bytes: a bar on a terminal, else a line in the log now and then."""

from __future__ import annotations

import logging
import time
from datetime import timedelta

from dassl.utils.progress import LINE_SECONDS, on_terminal

logger = logging.getLogger(__name__)


class Meter:
    """`at(n)` says that n bytes are done, of `total` (None: unknown). Use as context manager."""

    def __init__(self, desc: str, total: int | None, start: int = 0) -> None:
        self.desc, self.total, self.start, self.bar = desc, total, start, None
        self.began = self.last = time.monotonic()
        if on_terminal():
            from tqdm import tqdm

            self.bar = tqdm(desc=desc, total=total, initial=start, unit="B", unit_scale=True, leave=False)

    def __enter__(self) -> Meter:
        return self

    def __exit__(self, *args: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def at(self, done: int) -> None:
        if self.bar is not None:
            self.bar.update(done - self.bar.n)
            return
        now = time.monotonic()
        if now - self.last < LINE_SECONDS:
            return
        self.last = now
        rate = max(1.0, (done - self.start) / (now - self.began))
        if self.total:
            eta = timedelta(seconds=int((self.total - done) / rate))
            logger.info("%s %.0f%% %.1f MB/s eta %s", self.desc, 100 * done / self.total, rate / 1e6, eta)
        else:
            logger.info("%s %.0f MB %.1f MB/s", self.desc, done / 1e6, rate / 1e6)
