"""The steps of a text tower: from embeddings into the blocks, through them, and from their outputs to features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from .backbone_spec import spec_of
from .changed_blocks import Changes, changed_blocks
from .deep_prompts import Edit
from .openai_clip import ResidualAttentionBlock
from .ops import block_forward, causal_rows_mask, layer_norm, run_blocks

ALL_SAVINGS = frozenset(("cut", "groups", "prefix"))


class TextTower(Protocol):
    """savings: which are exact, see `BackboneSpec.savings`. length: the most tokens of a prompt. token_embedding:
    [vocabulary, width]. blocks: for `split_blocks.py`, where "prefix" is among the savings."""

    savings: frozenset[str]
    width: int
    depth: int
    embed_dim: int
    length: int
    blocks: list[ResidualAttentionBlock]

    @property
    def token_embedding(self) -> Tensor: ...

    def change(self, changes: Changes) -> None:
        """Applies the changes to its blocks. Raises InputError in a tower that is not of OpenAI's layout."""

    def enter(self, prompts: Tensor) -> Tensor:
        """[N, L, width] embeddings -> the hidden state that enters block 1."""

    def lower(self, x: Tensor, eot: Tensor, until: int) -> Tensor:
        """The hidden state after block `until`, from the one that enters block 1."""

    def features(self, x: Tensor, eot: Tensor, edits: Mapping[int, Edit], start: int, added: int) -> Tensor:
        """[N, embed_dim] from the hidden state [N, L, width] that enters block `start`. eot: [N], moved by the `added`
        tokens that an edit puts in."""

    def project(self, rows: Tensor) -> Tensor:
        """[..., width] rows after the last block -> [..., embed_dim]."""


class OpenAIText:
    """Text towers of OpenAI's layout, with any mask and pooling."""

    def __init__(self, clip_model: Any) -> None:
        self._clip = clip_model
        spec = spec_of(clip_model)
        self.savings = spec.savings if spec else ALL_SAVINGS
        self._causal = spec is None or spec.text.mask == "causal"
        self.blocks = list(clip_model.transformer.resblocks)
        self.depth = len(self.blocks)
        self.width: int = clip_model.ln_final.weight.shape[0]
        self.length = len(clip_model.positional_embedding)
        matrix = clip_model.text_projection
        self.embed_dim: int = self.width if matrix is None else matrix.shape[1]

    @property
    def token_embedding(self) -> Tensor:
        return self._clip.token_embedding.weight

    def change(self, changes: Changes) -> None:
        self.blocks = changed_blocks(self.blocks, changes, "text")
        if any(change.random for change in changes.values()):
            self.savings -= {"prefix"}

    def enter(self, prompts: Tensor) -> Tensor:
        return prompts + self._clip.positional_embedding[: prompts.shape[1]].to(prompts.dtype)

    def lower(self, x: Tensor, eot: Tensor, until: int) -> Tensor:
        for block in self.blocks[:until]:
            x = block_forward(block, x, self._causal)
        return x

    def features(self, x: Tensor, eot: Tensor, edits: Mapping[int, Edit], start: int, added: int) -> Tensor:
        each = torch.arange(x.shape[0], device=x.device)
        mask = causal_rows_mask(eot, x.shape[1] + added) if self._causal else None
        pick = lambda tokens: tokens[each, eot, None]  # noqa: E731
        return self.project(run_blocks(self.blocks, x, start, dict(edits), self._causal, pick, mask)[:, 0])

    def project(self, rows: Tensor) -> Tensor:
        rows = layer_norm(self._clip.ln_final, rows)
        if self._clip.text_projection is None:
            return rows
        features = rows @ self._clip.text_projection
        bias = getattr(self._clip, "text_bias", None)
        return features if bias is None else features + bias


def text_tower(clip_model: nn.Module) -> TextTower:
    """The text tower of a backbone."""
    if hasattr(clip_model, "text_model"):
        from .hf_text import HFText

        return HFText(clip_model)
    return OpenAIText(clip_model)
