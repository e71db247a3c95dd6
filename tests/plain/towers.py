"""CLIP's two towers, block by block over the stock modules, with a hook before each block.

There are no optimisations: 77 text tokens, sequences first ([L, N, D]), the stock `nn.MultiheadAttention`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clipkit import tokenize

Hook = Callable[[int, Tensor], Tensor]  # (number of the block, from 1; tokens [L, N, D] that enter it) -> tokens


def unchanged(number: int, x: Tensor) -> Tensor:
    return x


def run_block(block: nn.Module, x: Tensor, mask: Tensor | None) -> Tensor:
    """One residual attention block of the stock CLIP on [L, N, D], with a mask of x's own length."""
    y = block.ln_1(x)
    x = x + block.attn(y, y, y, need_weights=False, attn_mask=mask)[0]
    return x + block.mlp(block.ln_2(x))


def text_tower(clip: nn.Module, embeddings: Tensor, eot: Tensor, before: Hook = unchanged) -> Tensor:
    """[C, 77, D_t] token embeddings without positions -> [C, d], not normalised; `eot` [C] is the row that is read."""
    x = (embeddings + clip.positional_embedding).permute(1, 0, 2)
    for number, block in enumerate(clip.transformer.resblocks, start=1):
        x = before(number, x)
        mask = torch.full((len(x), len(x)), float("-inf"), device=x.device).triu(1)
        x = run_block(block, x, mask)
    x = clip.ln_final(x.permute(1, 0, 2))
    return x[torch.arange(len(x)), eot] @ clip.text_projection


def vision_tokens(clip: nn.Module, image: Tensor, appended: Tensor | None = None, before: Hook = unchanged) -> Tensor:
    """[B, 3, H, W] -> [B, L, D_v] after ln_post: CLS, patches, and inserted tokens.

    appended [n, D_v]: tokens after the patches, without position, before ln_pre.
    """
    visual, batch = clip.visual, len(image)
    x = visual.conv1(image).flatten(2).permute(0, 2, 1)
    x = torch.cat([visual.class_embedding.expand(batch, 1, -1), x], dim=1) + visual.positional_embedding
    if appended is not None:
        x = torch.cat([x, appended.expand(batch, -1, -1)], dim=1)
    x = visual.ln_pre(x).permute(1, 0, 2)
    for number, block in enumerate(visual.transformer.resblocks, start=1):
        x = run_block(block, before(number, x), None)
    return visual.ln_post(x.permute(1, 0, 2))


def vision_tower(clip: nn.Module, image: Tensor, appended: Tensor | None = None, before: Hook = unchanged) -> Tensor:
    """[B, 3, H, W] -> [B, d], not normalised."""
    return vision_tokens(clip, image, appended, before)[:, 0] @ clip.visual.proj


def replace_first(prompts: dict[int, Tensor]) -> Hook:
    """A hook: before block b, positions 1..n become `prompts[b]` [n, D], the same for all sequences."""

    def before(number: int, x: Tensor) -> Tensor:
        if number not in prompts:
            return x
        n = len(prompts[number])
        return torch.cat([x[:1], prompts[number].unsqueeze(1).expand(-1, x.shape[1], -1), x[1 + n :]])

    return before


def replace_last(prompts: dict[int, Tensor]) -> Hook:
    """A hook: before block b, the last n tokens become `prompts[b]` [n, D]."""

    def before(number: int, x: Tensor) -> Tensor:
        if number not in prompts:
            return x
        n = len(prompts[number])
        return torch.cat([x[: len(x) - n], prompts[number].unsqueeze(1).expand(-1, x.shape[1], -1)])

    return before


def insert_after_first(prompts: dict[int, Tensor]) -> Hook:
    """A hook: before the lowest block of `prompts`, K tokens are inserted after the first position; before later blocks
    in `prompts` they are replaced."""
    replace, first = replace_first(prompts), min(prompts)

    def before(number: int, x: Tensor) -> Tensor:
        if number != first:
            return replace(number, x)
        return torch.cat([x[:1], prompts[first].unsqueeze(1).expand(-1, x.shape[1], -1), x[1:]])

    return before


def frozen_text(clip: nn.Module, texts: Sequence[str]) -> Tensor:
    """[N, d], not normalised, without gradient: the stock text tower on whole sentences."""
    with torch.no_grad():
        return clip.encode_text(tokenize(texts).to(clip.positional_embedding.device))


def frozen_image(clip: nn.Module, image: Tensor) -> Tensor:
    """[B, d], normalised, without gradient: the stock image tower."""
    with torch.no_grad():
        return F.normalize(clip.encode_image(image), dim=-1)
