"""The frozen CLIP of this process: loaded once, shared by the runs that follow each other in it."""

from __future__ import annotations

import functools
import os

import torch
from torch import nn

from clipkit import load_clip


def shared_clip(name: str, path: str, precision: str, device: torch.device) -> nn.Module:
    """`load_clip`, and the same model again as long as the same one is asked for (several tests in one process)."""
    stamp = os.stat(path).st_mtime_ns if path and os.path.isfile(path) else 0
    return _load(name, path, stamp, precision, str(device))


@functools.lru_cache(maxsize=1)
def _load(name: str, path: str, stamp: int, precision: str, device: str) -> nn.Module:
    return load_clip(name, path, precision, device)
