"""The steps of an image tower: from pixels to tokens, through the blocks, and from their outputs to features."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

import torch
from torch import Tensor, nn

from . import deep_prompts
from .changed_blocks import Changes, changed_blocks
from .deep_prompts import Edit
from .openai_clip import VisionTransformer
from .ops import block_forward, block_forward_rows, first_row_attention, layer_norm, run_blocks

Watch = Callable[[int, Tensor], None]  # (block, the tokens [B, L, width] that enter it)


class ImageTower(Protocol):
    """A ViT. prefix: its tokens before the patches (1: CLS). at_end: whether `replace` prompts are appended after the
    patches; else they go in after the prefix. patch: side of a patch in pixels."""

    width: int
    depth: int
    prefix: int
    at_end: bool
    patch: int

    def change(self, changes: Changes) -> None:
        """Applies the changes to its blocks. Raises InputError in a tower that is not of OpenAI's layout."""

    def enter(self, image: Tensor, append: Edit | None = None) -> Tensor:
        """[B, 3, H, W] pixels -> tokens [B, L, width] that enter block 1. append: adds prompts after the positional
        embedding."""

    def lower(self, x: Tensor, until: int) -> Tensor:
        """The hidden state after block `until`, from what enters block 1."""

    def features(
        self,
        x: Tensor,
        edits: Mapping[int, Edit],
        start: int,
        prompts: slice,
        wanted: bool,
        sees: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """(features [B, d], outputs [B, n, width] of the prompt tokens after the last layer norm) from the hidden state
        that enters block `start`. prompts: where the prompt tokens stand after the last block. wanted: whether their
        outputs are needed; else they may be empty. sees: [L, L] attention mask, True where a row may attend to a
        column. Raises InputError for a mask in a tower that takes none."""

    def patches(self, x: Tensor) -> Tensor:
        """Patches after the last block in the space of the features, [B, G, d], from the hidden state that enters that
        block. Raises InputError where features are not a projection of single tokens."""

    def projection(self) -> Tensor | None:
        """[width, d], from tokens after the last layer norm to features; None where there is none (width = d)."""


class OpenAIViT:
    """OpenAI's ViT: CLS, positions, ln_pre, blocks, ln_post of CLS, projection."""

    prefix, at_end = 1, True

    def __init__(self, visual: VisionTransformer) -> None:
        self._visual = visual
        self._blocks = list(visual.transformer.resblocks)
        self.width, self.depth = visual.ln_post.weight.shape[-1], len(self._blocks)
        self.patch = visual.conv1.kernel_size[0]

    def change(self, changes: Changes) -> None:
        self._blocks = changed_blocks(self._blocks, changes, "image")

    def enter(self, image: Tensor, append: Edit | None = None) -> Tensor:
        visual = self._visual
        x = visual.conv1(image).flatten(2).transpose(1, 2)
        # The type of x, not of the weights, leads: under autocast the tower runs as the stock one does.
        cls = visual.class_embedding.to(x.dtype).expand(x.shape[0], 1, -1)
        x = torch.cat([cls, x], dim=1) + visual.positional_embedding.to(x.dtype)
        if append is not None:
            x = append(x)
        return layer_norm(visual.ln_pre, x)

    def lower(self, x: Tensor, until: int) -> Tensor:
        for block in self._blocks[:until]:
            x = block_forward(block, x, causal=False)
        return x

    def features(
        self,
        x: Tensor,
        edits: Mapping[int, Edit],
        start: int,
        prompts: slice,
        wanted: bool,
        sees: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        def pick(tokens: Tensor) -> Tensor:
            """CLS and, if asked for, the prompt tokens: [B, 1 + n, width]."""
            return torch.cat([tokens[:, :1], tokens[:, prompts]], dim=1) if wanted else tokens[:, :1]

        x = run_blocks(self._blocks, x, start, dict(edits), causal=False, pick=pick, sees=sees)
        x = layer_norm(self._visual.ln_post, x)
        return x[:, 0] @ self._visual.proj, x[:, 1:]

    def patches(self, x: Tensor) -> Tensor:
        patches = block_forward_rows(self._blocks[-1], x, lambda tokens: tokens[:, 1:])
        return layer_norm(self._visual.ln_post, patches) @ self._visual.proj

    def with_attention(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(all tokens after the last block in the space of the features [B, L, d], attention [B, L - 1] of CLS to the
        others in that block, mean over heads), from the hidden state that enters the block."""
        block = self._blocks[-1]
        tokens = layer_norm(self._visual.ln_post, block_forward(block, x, causal=False)) @ self._visual.proj
        return tokens, first_row_attention(block, x)[:, 1:]

    def projection(self) -> Tensor | None:
        return self._visual.proj


def image_tower(visual: nn.Module) -> ImageTower | None:
    """The tower of a backbone's `visual`; None where it has no tokens (ResNet, ConvNeXt, FastViT) and runs whole."""
    if isinstance(visual, VisionTransformer):
        return OpenAIViT(visual)
    trunk = getattr(visual, "trunk", None)
    if trunk is not None:
        from .timm_tower import timm_vit

        return timm_vit(visual)
    return None


def token_edits(
    tower: ImageTower, replace: deep_prompts.Prompts, insert: deep_prompts.Prompts, start: int, weight: float = 1.0
) -> dict[int, Edit]:
    """The edits of `ImageEncoder`'s `replace` and `insert`, after checking blocks and widths."""
    checked = partial(deep_prompts.edits, start=start, depth=tower.depth, width=tower.width, tower="image")
    put = partial(deep_prompts.insert_front, first=tower.prefix)
    over = partial(deep_prompts.overwrite_front, first=tower.prefix)
    blend = partial(over, weight=weight)
    if tower.at_end:
        return checked(replace, deep_prompts.append_end, deep_prompts.overwrite_end) | checked(insert, put, blend)
    return checked(replace, put, over) | checked(insert, put, blend)


def watched(edits: Mapping[int, Edit], watch: Watch, start: int, depth: int) -> dict[int, Edit]:
    """The edits, with `watch` called on what they make of the tokens that enter each block from `start` on."""

    def seen(block: int) -> Edit:
        edit = edits.get(block)

        def before(x: Tensor) -> Tensor:
            x = x if edit is None else edit(x)
            watch(block, x)
            return x

        return before

    return {block: seen(block) for block in range(start, depth + 1)}
