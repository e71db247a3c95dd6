"""Top-k accuracy."""

from __future__ import annotations

import torch
from torch import Tensor


@torch.no_grad()
def compute_accuracy(output: Tensor | tuple | list, target: Tensor, topk: tuple[int, ...] = (1,)) -> list[Tensor]:
    """Top-k accuracies in percent, one tensor of one element for each k.

    `output` [B, C] logits (of a tuple or list the first entry), `target` [B] labels.
    """
    logits = output[0] if isinstance(output, (tuple, list)) else output
    ranked = logits.topk(min(max(topk), logits.shape[1]), dim=1).indices
    hit = ranked == target.view(-1, 1)
    return [hit[:, :k].sum().float().view(1) * (100.0 / target.shape[0]) for k in topk]
