"""Compares the classes of a published checkpoint, which has no class names, by its embeddings of the names."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

SUFFIX = "token_suffix"  # [C, L - 1 - n, d]: class name and end of the prompt
CLOSE = 1e-3  # embeddings may have been saved in half precision


def same_class_names(learner: nn.Module, state: Mapping[str, Tensor]) -> bool | None:
    """Whether the embedded class names of a file are those of `learner`'s prompts; None if one of the two has none.

    Prompts may be cut at different lengths: what both have is compared.
    """
    theirs = next((value for key, value in state.items() if key.rpartition(".")[2] == SUFFIX), None)
    mine = next((value for key, value in learner.named_buffers() if key.rpartition(".")[2] == SUFFIX), None)
    if theirs is None or mine is None or theirs.dim() != 3 or theirs.shape[2] != mine.shape[2]:
        return None
    if len(theirs) != len(mine):
        return False
    length = min(theirs.shape[1], mine.shape[1])
    a, b = (x[:, :length].float().cpu() for x in (theirs, mine))
    return bool(torch.allclose(a, b, atol=CLOSE))
