"""Combines the views of an image: which of them are chosen, and how their logits become one answer.

Shapes: l [B, n, C] logits, f [B, n, d] normalised features.
"""

from __future__ import annotations

import torch
from torch import Tensor


def entropy(logits: Tensor) -> Tensor:
    """H of the softmax over the last axis."""
    log_p = logits.log_softmax(dim=-1)
    return -(log_p.exp() * log_p).sum(dim=-1)


def pointwise_entropy(logits: Tensor) -> Tensor:
    """[B]: the mean over views of the entropies (R-TPT)."""
    return entropy(logits).mean(dim=-1)


def marginal_entropy(logits: Tensor) -> Tensor:
    """[B]: the entropy of the mean of the views' probabilities (TPT; Zhang et al., MEMO)."""
    log_mean = logits.log_softmax(dim=-1).logsumexp(dim=-2) - torch.tensor(logits.shape[-2]).log().to(logits)
    log_mean = log_mean.clamp_min(torch.finfo(logits.dtype).min)
    return -(log_mean.exp() * log_mean).sum(dim=-1)


LOSSES = {"pointwise": pointwise_entropy, "marginal": marginal_entropy}


def confident(logits: Tensor, share: float) -> Tensor:
    """[B, k]: the views of lowest entropy, k = floor(share * n) but at least 1; the first ones where they tie."""
    count = max(1, int(logits.shape[1] * share))
    return entropy(logits).argsort(dim=1, stable=True)[:, :count]


def take(values: Tensor, index: Tensor) -> Tensor:
    """Rows `index` [B, k] of `values` [B, n, m]: [B, k, m]."""
    return values.gather(1, index[..., None].expand(-1, -1, values.shape[-1]))


def reliability(f: Tensor, neighbours: int, temperature: float, mask: str = "diagonal") -> Tensor:
    """[B, n] weights of the views: softmax of the mean cosine to their `neighbours` nearest views (R-TPT).

    mask diagonal: a view is not its own neighbour. ge1: views with a similarity of 1 or more are no neighbours, as in
    the published code, where rounding decides which views these are; weights are then NaN if no view has enough
    neighbours.
    """
    if mask == "ge1":  # image by image, since the last bit of a similarity must not depend on the rest of the batch
        similarity = torch.stack([view @ view.t() for view in f])
        similarity = similarity.masked_fill(similarity >= 1.0, -torch.inf)
        nearest = similarity.topk(min(neighbours, f.shape[1]), dim=-1).values
    else:
        if f.shape[1] == 1:
            return torch.ones_like(f[..., 0])
        own = torch.eye(f.shape[1], dtype=torch.bool, device=f.device)
        similarity = (f @ f.mT).masked_fill(own, -torch.inf)
        nearest = similarity.topk(min(neighbours, f.shape[1] - 1), dim=-1).values
    return (nearest.mean(dim=-1) / temperature).softmax(dim=-1)


def weighted(weights: Tensor, logits: Tensor) -> Tensor:
    """sum_i w_i l_i: [B, n], [B, n, C] -> [B, C]."""
    return (weights[..., None] * logits).sum(dim=1)
