"""Freed memory is kept by the process: the same large tensor, taken again, costs no new pages."""

from __future__ import annotations

import os
import resource
import sys

import pytest
import torch
from processes import forked

from dassl.utils.memory import keep_freed_memory


def new_pages() -> int:
    """Pages that ten tensors of 12 MB, one after another, took from the system."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(3 * 2**20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's malloc")
def test_memory_is_kept(monkeypatch):
    for name in [name for name in os.environ if name.startswith("MALLOC_")]:
        monkeypatch.delenv(name)

    def kept() -> int:
        if not keep_freed_memory():
            return 3  # another C library
        new_pages()  # the first one takes what the others use again
        return 0 if new_pages() < 1000 else 1

    assert forked(kept) in (0, 3)


def test_the_environment_goes_first(monkeypatch):
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "131072")
    assert keep_freed_memory() is False
