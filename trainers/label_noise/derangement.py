"""Random permutations without fixed points."""

from __future__ import annotations

import torch
from torch import Tensor


def derangement(classes: int, seed: int) -> Tensor:
    """[C] indices pi with pi(i) != i, uniform over all of these (rejection: about one permutation in e has none).

    Raises ValueError for fewer than two classes.
    """
    if classes < 2:
        raise ValueError("one class cannot be taken for another")
    generator = torch.Generator().manual_seed(seed)
    fixed = torch.arange(classes)
    while True:
        pi = torch.randperm(classes, generator=generator)
        if (pi != fixed).all():
            return pi
