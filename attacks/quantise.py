"""Converts attacked pictures in [0, 1] to 8 bits, without leaving the ball."""

from __future__ import annotations

import math

import torch
from torch import Tensor

RULES = ("round_project", "trunc", "none")


def quantise(x: Tensor, clean: Tensor, eps: float | None, rule: str = "round_project") -> Tensor:
    """uint8 pictures of x [B, 3, H, W] in [0, 1]; clean: the uint8 pictures that were attacked; eps in grey levels.

    round_project: rounded, then held within floor(eps) levels of the clean picture (eps None: no ball).
    trunc: values are cut off, as in torchvision's conversion to PIL. This shrinks positive perturbations, enlarges
    negative ones, and may end one level outside the ball; only for comparison with published code that does so.
    """
    if rule == "trunc":
        return (x * 255).to(torch.uint8)
    if rule != "round_project":
        raise ValueError(f"unknown quantisation {rule!r}: choose round_project or trunc")
    rounded = (x * 255).round().to(torch.int16)
    levels = 255 if eps is None else math.floor(eps + 1e-6)
    u = clean.to(torch.int16)
    return rounded.clamp(min=(u - levels).clamp(min=0), max=(u + levels).clamp(max=255)).to(torch.uint8)
