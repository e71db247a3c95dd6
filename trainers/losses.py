"""Losses that more than one method uses. All take fp32 logits or normalised features."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def cosine_distance(a: Tensor, b: Tensor) -> Tensor:
    """1 - mean_i cos(a_i, b_i) over rows; a, b: [N, d], normalised."""
    return 1.0 - (a * b).sum(dim=-1).mean()


def kl_divergence(p_logits: Tensor, q_logits: Tensor) -> Tensor:
    """KL(softmax(p) || softmax(q)) summed over batch and classes; [B, C] each (ANPrompt Eq. 6 without its weight)."""
    log_p, log_q = F.log_softmax(p_logits, dim=-1), F.log_softmax(q_logits, dim=-1)
    return (log_p.exp() * (log_p - log_q)).sum()


def variance_weight(logits: Tensor, eps: float) -> Tensor:
    """1 / (std * numel + eps), over all elements of [B, C] logits (ANPrompt Eq. 7)."""
    return 1.0 / (torch.std(logits) * logits.numel() + eps)
