"""Labels and probabilities of methods that weigh or guess labels."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def sharpen_prob(p: Tensor, temperature: float = 2) -> Tensor:
    """Probabilities [B, C] to the power of `temperature`, normalised to sum to 1 again: more than 1 sharpens."""
    p = p.pow(temperature)
    return p / p.sum(1, keepdim=True)


def create_onehot(label: Tensor, num_classes: int) -> Tensor:
    """[B] labels -> [B, C] of 0 and 1, float, on the CPU (as upstream, whose callers move it to their device)."""
    return torch.zeros(label.shape[0], num_classes).scatter(1, label.detach().cpu().long()[:, None], 1)


def reverse_index(data: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
    """Both in reverse order."""
    return data.flip(0), label.flip(0)


def sigmoid_rampup(current: float, rampup_length: float) -> float:
    """exp(-5 (1 - t)^2) with t = current / rampup_length within [0, 1]: from 0.0067 to 1."""
    t = min(max(current / rampup_length, 0.0), 1.0)
    return math.exp(-5.0 * (1.0 - t) ** 2)


def linear_rampup(current: float, rampup_length: float) -> float:
    """current / rampup_length within [0, 1]."""
    return min(max(current / rampup_length, 0.0), 1.0)


@torch.no_grad()
def ema_model_update(model: nn.Module, ema_model: nn.Module, alpha: float) -> None:
    """Parameters of `ema_model` become alpha times themselves plus 1 - alpha times those of `model`."""
    for slow, fast in zip(ema_model.parameters(), model.parameters(), strict=True):
        slow.mul_(alpha).add_(fast, alpha=1 - alpha)
