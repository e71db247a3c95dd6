"""Finds the images of a list that cannot be read: all are decoded, several at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from dassl.utils import InputError, read_image
from dassl.utils.progress import progress

MOST_WORKERS = 64  # more threads than that only wait for each other
BLOCK = 64  # images a task: keeps the queue of a million images short


def unreadable(paths: Sequence[str], desc: str = "", workers: int | None = None) -> dict[str, str]:
    """{path: sentence} of the images that cannot be read. Works in threads, since decoding releases the lock of the
    interpreter."""
    outcomes = progress(_Results(paths, workers or os.cpu_count() or 1), desc=desc)
    return {path: sentence for path, sentence in zip(paths, outcomes, strict=True) if sentence}


class _Results:
    """The outcome of each image, in order: "" or what is wrong."""

    def __init__(self, paths: Sequence[str], workers: int) -> None:
        self.paths, self.workers = paths, min(workers, MOST_WORKERS)

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[str]:
        pool = ThreadPoolExecutor(self.workers)
        try:
            blocks = [self.paths[i : i + BLOCK] for i in range(0, len(self.paths), BLOCK)]
            for outcome in pool.map(_try, blocks):
                yield from outcome
        finally:
            pool.shutdown(cancel_futures=True)  # an interrupted check ends at once


def _try(paths: Sequence[str]) -> list[str]:
    outcome = []
    for path in paths:
        try:
            read_image(path)
            outcome.append("")
        except InputError as error:
            outcome.append(str(error))
    return outcome
