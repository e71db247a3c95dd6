"""Keeps freed memory in the process: a training step on the CPU frees and takes the same megabytes again and again."""

from __future__ import annotations

import ctypes
import os
import sys

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # glibc's numbers of these parameters (malloc.h)
MEGABYTE = 2**20


def keep_freed_memory(megabytes: int = 256) -> bool:
    """Lets glibc's malloc keep up to `megabytes` of freed memory, which it would otherwise return to the system.

    The system hands memory out page by page and clears each page first, which takes time in every step. Results do not
    change. Returns whether it was set: not with another C library, nor where environment variables MALLOC_* are set.
    """
    if sys.platform != "linux" or any(name.startswith("MALLOC_") for name in os.environ):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # musl, for one
        return False
    # tensors of up to 32 MB, the most that glibc allows here, come from the heap, which is kept
    return bool(mallopt(MMAP_THRESHOLD, 32 * MEGABYTE) and mallopt(TRIM_THRESHOLD, megabytes * MEGABYTE))
