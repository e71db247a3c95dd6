"""Similarity of an image to its class under one context, and to a wrong class under another (DP-SEP, Eq. 2 to 4)."""

from __future__ import annotations

import torch
from torch import Tensor


def pair_similarities(
    pos: Tensor, neg: Tensor, label: Tensor, wrong: Tensor, over: str = "class"
) -> tuple[Tensor, Tensor]:
    """s^pos, s^neg [B]: of the label under positive prompts, of its wrong partner under negative ones.

    pos, neg: [B, C] scaled cosines. label, wrong: [B]. over: "class", a softmax over the classes of one polarity;
    "pair", over the two logits of the pair.
    """
    each = torch.arange(len(label), device=label.device)
    if over == "class":
        pos, neg = pos.softmax(dim=1), neg.softmax(dim=1)
    s_pos, s_neg = pos[each, label], neg[each, wrong]
    if over == "pair":
        s_pos, s_neg = torch.stack([s_pos, s_neg]).softmax(dim=0).unbind(0)
    return s_pos, s_neg
