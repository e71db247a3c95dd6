"""Operations on gradients that methods share."""

from __future__ import annotations

import torch
from torch import Tensor


def without_conflict(grad: Tensor, guide: Tensor, lambda_: float = 1.0) -> Tensor:
    """ProGrad's projected gradient (Zhu et al., ICCV 2023).

    Where `grad` points against `guide` (negative inner product), `lambda_` times its projection on `guide` is
    subtracted; else it stays as it is. Both have one shape, which is the result's.
    """
    unit = guide / guide.norm().clamp_min(torch.finfo(guide.dtype).tiny)
    along = (grad * unit).sum()
    return torch.where(along < 0, grad - lambda_ * along * unit, grad)
