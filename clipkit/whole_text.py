"""Prompts for a text tower that cannot share the beginning of all classes: each prompt is run whole.

In a tower without a causal mask the states of a beginning depend on what follows it, so it is joined to each end.
Prompts of similar length still form a group; in a tower that attends to padding, all have the full length.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from .deep_prompts import Prompts
from .split_text import SplitText, TextGroup


def whole_groups(text: SplitText) -> SplitText:
    """The same prompts with an empty beginning, [0, D] or [G, 0, D]; each group's tokens are [G * C_g, L, D]."""
    prefix = text.prefix if text.prefix.dim() == 3 else text.prefix[None]
    sets, before = prefix.shape[:2]
    groups = []
    for group in text.groups:
        classes = len(group.rows)
        ends = group.tokens if len(group.tokens) == sets * classes else group.tokens.repeat(sets, 1, 1)
        own = prefix.repeat_interleave(classes, dim=0).to(ends.dtype)
        groups.append(TextGroup(group.rows, torch.cat([own, ends], dim=1), group.eot + before))
    return SplitText(text.prefix[..., :0, :], groups)


def of_group(prompts: Prompts, group: TextGroup) -> Prompts:
    """The deep prompts of a group's sequences: one per class, [C, n, D], becomes [G * C_g, n, D]."""
    if not prompts:
        return prompts
    sets = len(group.tokens) // len(group.rows)
    found: Mapping[int, Tensor] = {
        b: tokens if tokens.dim() == 2 else tokens[group.rows].repeat(sets, 1, 1) for b, tokens in prompts.items()
    }
    return found
