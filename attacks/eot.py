"""Expectation over transformation (Athalye et al., ICML 2018): gradients of a random model, averaged over draws.

pgd(expectation(sample, label, draws=4), x, eps, alpha, steps, seeds)
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from dassl.utils import stream_seed

from .evaluation import Evaluate, Value, gradient_to
from .losses import cross_entropy


def expectation(
    sample: Callable[[Tensor, int], Tensor],
    label: Tensor,
    draws: int,
    seed: int = 0,
    loss: Callable[[Tensor, Tensor], Tensor] = cross_entropy,
) -> Evaluate:
    """`Evaluate` of a random model: mean loss and mean gradient over fresh draws at every step.

    sample: (pictures [B, 3, H, W], seed of the draw) -> logits [B, C], differentiable; or [B, n, C] of views, for a
    `loss` over them, and then the prediction is by their mean. An image counts as misclassified if most draws
    misclassify it. One draw is held in memory at a time.
    """

    def evaluate(x: Tensor, restart: int, step: int, gradient: bool) -> Value:
        total, wrong = torch.zeros(len(x), dtype=torch.float64, device=x.device), torch.zeros_like(label)
        slope = torch.zeros_like(x) if gradient else None
        for draw in range(draws):
            with torch.set_grad_enabled(gradient):
                inner = x.detach().requires_grad_(gradient)
                out = sample(inner, stream_seed(seed, "draw", restart, step, draw))
                value = loss(out, label)
                if gradient:
                    slope += gradient_to(inner, value) / draws
            total += value.detach().double() / draws
            answer = out.detach().mean(dim=1) if out.dim() == 3 else out.detach()
            wrong += answer.argmax(1) != label
        return Value(total, wrong * 2 > draws, slope)

    return evaluate
