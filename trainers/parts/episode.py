"""ProMetaR's split of a batch: one class is the query, the others are the support."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Episode(NamedTuple):
    """Indices of a batch: of the query, which is one class, of the support, and of the support image that each query
    image is mixed with; and the share of the query image. [Q], [S], [Q], [Q]."""

    query: Tensor
    support: Tensor
    partner: Tensor
    share: Tensor


def draw_episode(label: Tensor, seed: int, alpha: float, beta: float) -> Episode | None:
    """Of labels [B]; shares are drawn from Beta(alpha, beta), partners with replacement. None for one class alone."""
    device, label = label.device, label.cpu()  # one transfer; all sizes below depend on the labels
    draw, classes = np.random.default_rng(seed), label.unique()
    if len(classes) == 1:
        return None
    chosen = label == classes[int(draw.integers(len(classes)))]
    query, support = chosen.nonzero()[:, 0], (~chosen).nonzero()[:, 0]
    partner = support[torch.from_numpy(draw.integers(len(support), size=len(query)))]
    share = torch.from_numpy(draw.beta(alpha, beta, len(query))).float()
    return Episode(*(x.to(device) for x in (query, support, partner, share)))
