"""Random permutations without fixed points."""

from __future__ import annotations

import torch
from torch import Tensor


def derangement(classes: int, seed: int) -> Tensor:
    """[C] indices pi with pi(i) != i, uniform over all such permutations: drawn until one fits, about e tries.

    Raises ValueError for fewer than two classes.
    """
    if classes < 2:
        raise ValueError("a permutation without fixed points needs at least two classes")
    generator = torch.Generator().manual_seed(seed)
    fixed = torch.arange(classes)
    while True:
        pi = torch.randperm(classes, generator=generator)
        if (pi != fixed).all():
            return pi
