"""An attack on the features of an image tower, without labels and prompts: AdvPT's (Zhang et al., ECCV 2024)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from dassl.utils import stream_seed

from .evaluation import gradient_to
from .pgd import Found


def feature_attack(embed: Callable[[Tensor], Tensor], x: Tensor, eps: float, steps: int, seeds: Sequence[int]) -> Found:
    """`steps` ascents of KL(softmax(e) || softmax(e')) from delta ~ U(0, eps), each of 1.25 eps / steps.

    embed: pictures [B, 3, H, W] in [0, 1] -> raw embeddings [B, d]. The start is above the picture only, and unclipped
    at the first pass; afterwards delta is held in the ball and in the picture's range. The last iterate counts.
    """
    with torch.no_grad():
        log_p = embed(x).float().log_softmax(dim=1)
    drawn = [
        torch.rand(x.shape[1:], generator=torch.Generator().manual_seed(stream_seed(seed, "start", 0)))
        for seed in seeds
    ]
    seen, zero = x + eps * torch.stack(drawn).to(x.device), None
    for _ in range(steps):
        with torch.enable_grad():
            leaf = seen.detach().requires_grad_()
            log_q = embed(leaf).float().log_softmax(dim=1)
            gradient = gradient_to(leaf, (log_p.exp() * (log_p - log_q)).sum(dim=1))
        zero = gradient.flatten(1).abs().amax(1) == 0 if zero is None else zero
        delta = (seen - x + 1.25 * eps / steps * gradient.sign()).clamp(-eps, eps)
        seen = (x + delta).clamp(0, 1)
    return Found(seen, zero)
