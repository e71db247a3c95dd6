"""Dropout whose draw is a function of a seed, the same on every device."""

from __future__ import annotations

import torch
from torch import Tensor


def seeded_dropout(x: Tensor, p: float, seed: int) -> Tensor:
    """x with each entry 0 with probability p, the others divided by 1 - p."""
    draw = torch.rand(x.shape, generator=torch.Generator().manual_seed(seed)).to(x.device)
    return x * (draw >= p) / (1 - p)
