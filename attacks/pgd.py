"""Projected gradient descent in the L-infinity ball (Madry et al., ICLR 2018), FGSM, and random noise.

eps and alpha are in pixel units of [0, 1] (4/255, not 4). Each image has a seed of its own, so that its result does not
depend on its batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from dassl.utils import stream_seed

from .evaluation import Evaluate, Value


class Found(NamedTuple):
    """x [B, 3, H, W] in [0, 1]; zero_gradient [B]: the gradient at the first start is 0 everywhere."""

    x: Tensor
    zero_gradient: Tensor


class _Best:
    """The best picture found so far of each image: misclassified ones first, then by the higher loss."""

    def __init__(self, x: Tensor) -> None:
        self.x = x.clone()
        self.loss = x.new_full((len(x),), -float("inf"), dtype=torch.float64)
        self.wrong = torch.zeros(len(x), dtype=torch.bool, device=x.device)

    def offer(self, x: Tensor, value: Value) -> None:
        better = (value.wrong & ~self.wrong) | ((value.wrong == self.wrong) & (value.loss > self.loss))
        self.x[better], self.loss[better], self.wrong[better] = (
            x[better],
            value.loss.double()[better],
            value.wrong[better],
        )


def pgd(
    evaluate: Evaluate,
    x: Tensor,
    eps: float,
    alpha: float,
    steps: int,
    seeds: Sequence[int],
    random_start: bool = True,
    restarts: int = 1,
    keep: str = "best_loss",
) -> Found:
    """`steps` times x <- x + alpha sign(gradient), held in the ball around x and in [0, 1].

    random_start: from a uniform point of the ball; later restarts always do. keep: best_loss, the best of all
    iterates (the last included), or last, the last iterate (the best last one of several restarts).
    """
    best, zero = _Best(x), None
    for restart in range(restarts):
        adv = start(x, eps, seeds, restart) if random_start or restart else x.clone()
        for step in range(steps):
            value = evaluate(adv, restart, step, True)
            if zero is None:
                zero = value.gradient.flatten(1).abs().amax(1) == 0
            if keep == "best_loss":
                best.offer(adv, value)
            adv = project(adv + alpha * value.gradient.sign(), x, eps)
        if keep == "last" and restarts == 1:
            return Found(adv, zero)
        best.offer(adv, evaluate(adv, restart, steps, False))
    return Found(best.x, zero)


def fgsm(evaluate: Evaluate, x: Tensor, eps: float) -> Found:
    """One step of size eps from the picture itself (Goodfellow et al., ICLR 2015)."""
    return pgd(evaluate, x, eps, eps, 1, [0] * len(x), random_start=False, keep="last")


def noise(evaluate: Evaluate, x: Tensor, eps: float, seeds: Sequence[int], draws: int = 1) -> Found:
    """Random noise, as a control: the most harmful of `draws` points, in turn uniform in the ball and at a corner."""
    best = _Best(x)
    for draw in range(draws):
        adv = start(x, eps, seeds, draw)
        if draw % 2:
            adv = (x + eps * (adv - x).sign()).clamp(0, 1)
        best.offer(adv, evaluate(adv, draw, 0, False))
    return Found(best.x, torch.zeros(len(x), dtype=torch.bool, device=x.device))


def start(x: Tensor, eps: float, seeds: Sequence[int], restart: int) -> Tensor:
    """x plus uniform noise in [-eps, eps], clipped to [0, 1]; drawn on the CPU, so that devices agree."""
    drawn = [
        torch.rand(x.shape[1:], generator=torch.Generator().manual_seed(stream_seed(seed, "start", restart)))
        for seed in seeds
    ]
    return (x + eps * (2 * torch.stack(drawn).to(x.device) - 1)).clamp(0, 1)


def project(adv: Tensor, x: Tensor, eps: float) -> Tensor:
    """The nearest point of the ball around x, and of [0, 1]."""
    return (x + (adv - x).clamp(-eps, eps)).clamp(0, 1)
