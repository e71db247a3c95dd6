"""Learnable deep prompts of one tower, under the names that the field's checkpoints use."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn


class _Block(nn.Module):
    def __init__(self, tokens: Tensor) -> None:
        super().__init__()
        self.VPT_shallow = nn.Parameter(tokens)


class _Transformer(nn.Module):
    def __init__(self, blocks: dict[str, nn.Module]) -> None:
        super().__init__()
        self.resblocks = nn.ModuleDict(blocks)


class DeepPrompts(nn.Module):
    """n tokens for each of the blocks 1 .. `depth`, each set drawn from N(0, 0.02^2) (VPT, IVLP, PromptSRC).

    n: tokens a block; width: of the tower; first: whether block 1 has its own (the text tower's block 1 gets the
    context instead). n = 0 or depth = 0: no prompts.

    Keys: `VPT` for block 1, `transformer.resblocks.<b - 1>.VPT_shallow` for block b > 1.
    """

    def __init__(self, n: int, width: int, depth: int, first: bool = True) -> None:
        super().__init__()
        depth = depth if n > 0 else 0
        self.VPT = nn.Parameter(0.02 * torch.randn(n, width)) if first and depth > 0 else None
        later: dict[str, nn.Module] = {str(b - 1): _Block(0.02 * torch.randn(n, width)) for b in range(2, depth + 1)}
        self.transformer = _Transformer(later)

    def forward(self) -> dict[int, Tensor]:
        """{block: tokens [n, width]}, blocks counted from 1: the encoders' `replace`."""
        tokens: dict[int, Tensor] = {} if self.VPT is None else {1: self.VPT}
        for i, block in self.transformer.resblocks.items():
            tokens[int(i) + 1] = cast(
                _Block, block
            ).VPT_shallow  # a parameter, or the tensor that `functional_call` sets
        return tokens
