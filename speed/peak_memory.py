"""Measures the peak memory of a task above the memory in use before it."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import resource
import sys
from collections.abc import Callable
from pathlib import Path

import torch


def peak_of(task: Callable, device: torch.device) -> int:
    """The peak in bytes: of the device's allocator on CUDA, else of this process.

    On Linux the process's peak is reset before; elsewhere the result is the increase of its peak so far.
    """
    gc.collect()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        task()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    _give_back()
    before = _forget_peak() or _peak()
    task()
    return _peak() - before


def _give_back() -> None:
    """On Linux, return freed memory from the allocator to the system, since it would hide a part of the peak."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def _forget_peak() -> int:
    """On Linux, reset the process's peak to the memory in use and return that in bytes. Elsewhere return 0."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return 0
    return _status("VmRSS")


def _peak() -> int:
    if Path("/proc/self/status").is_file():
        return _status("VmHWM")
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    return 0
