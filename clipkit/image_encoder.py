"""CLIP's image tower, prompted from outside."""

from functools import partial
from typing import Literal, overload

import torch
from torch import Tensor

from . import deep_prompts
from .attention import twice_differentiable
from .deep_prompts import Edit, Prompts
from .errors import InputError
from .openai_clip import CLIP, ModifiedResNet, VisionTransformer
from .ops import block_forward, block_forward_rows, layer_norm, run_blocks


class ImageEncoder:
    """Runs the image tower of a frozen CLIP. Not an nn.Module: CLIP stays out of state dicts.

    ViTs take prompts; ResNets run as they are and refuse prompts.
    """

    def __init__(self, clip_model: CLIP) -> None:
        self.clip_model = clip_model
        self.visual = visual = clip_model.visual
        self.is_vit = isinstance(visual, VisionTransformer)
        self._blocks = list(visual.transformer.resblocks) if isinstance(visual, VisionTransformer) else []

    @property
    def width(self) -> int:
        """Width of the ViT's tokens; of a ResNet the width of the features that enter its attention pool."""
        visual = self.visual
        layer = visual.ln_post if isinstance(visual, VisionTransformer) else visual.attnpool.k_proj
        return layer.weight.shape[-1]

    @property
    def depth(self) -> int:
        """Number of transformer blocks, 0 for a ResNet."""
        return len(self._blocks)

    @property
    def embed_dim(self) -> int:
        return self.visual.output_dim

    @property
    def dtype(self) -> torch.dtype:
        return self.clip_model.dtype

    @property
    def input_size(self) -> int:
        """Height and width in pixels of the square input."""
        return self.visual.input_resolution

    @overload
    def __call__(
        self, image: Tensor, replace: Prompts = None, insert: Prompts = None, start_block: int = 1
    ) -> Tensor: ...

    @overload
    def __call__(
        self,
        image: Tensor,
        replace: Prompts = None,
        insert: Prompts = None,
        start_block: int = 1,
        *,
        return_tokens: Literal[True],
    ) -> tuple[Tensor, Tensor]: ...

    def __call__(
        self,
        image: Tensor,
        replace: Prompts = None,
        insert: Prompts = None,
        start_block: int = 1,
        return_tokens: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Features [B, embed_dim] of B images, not normalised.

        image: [B, 3, size, size], normalised pixels; with `start_block` > 1 the hidden state that enters that block,
            from `lower`.
        replace: {b: [n, width] or [B, n, width]}: before the smallest b the n tokens are appended after the patches
            (for b=1 after the positional embedding and before ln_pre), before the later ones the last n tokens are
            overwritten (VPT, MaPLe).
        insert: {b: [K, width] or [B, K, width]}: before the smallest b the K tokens go in after CLS, before the later
            ones the positions 1 .. K are overwritten (MMRL).
        return_tokens: return (features, tokens) with tokens [B, n, width] = ln_post of the prompt tokens' outputs.
        """
        visual = self.visual
        if not isinstance(visual, VisionTransformer):
            if replace or insert or return_tokens or start_block != 1:
                raise self._takes_no_prompts()
            with twice_differentiable():
                return visual(image.to(self.dtype))
        deep_prompts.refuse_both(replace, insert)
        if return_tokens and not (replace or insert):
            raise InputError("return_tokens needs prompt tokens: give `replace` or `insert`")
        checked = partial(deep_prompts.edits, start=start_block, depth=self.depth, width=self.width, tower="image")
        edits = checked(replace, deep_prompts.append_end, deep_prompts.overwrite_end)
        edits |= checked(insert, deep_prompts.insert_front, deep_prompts.overwrite_front)
        x = self._enter(visual, image, edits.pop(1, None) if replace else None) if start_block == 1 else image

        n = deep_prompts.count(replace or insert) if return_tokens else 0

        def pick(tokens: Tensor) -> Tensor:
            """CLS and, if asked for, the prompt tokens: [B, 1 + n, width]."""
            if replace and n:
                return torch.cat([tokens[:, :1], tokens[:, -n:]], dim=1)
            return tokens[:, : 1 + n]

        x = run_blocks(self._blocks, x, start_block, edits, causal=False, pick=pick)
        x = layer_norm(visual.ln_post, x)
        features = x[:, 0] @ visual.proj
        return (features, x[:, 1:]) if return_tokens else features

    def with_patches(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """(features [B, embed_dim], patches [B, G, embed_dim]): the unprompted tower's output, the same as `__call__`'s
        to the last bit, and the patches of its last layer in the same space, row by row of the grid; not normalised.

        ViT: ln_post and the projection on each patch token. ResNet: each cell of the last feature map, its position
        added, through the value and the output projection of the attention pool, which is what the pool averages.
        """
        visual = self.visual
        if not isinstance(visual, VisionTransformer):
            return self._resnet_with_patches(visual, image)
        x = self._enter(visual, image, None)
        for block in self._blocks[:-1]:
            x = block_forward(block, x, causal=False)
        features = self(x, start_block=self.depth)
        patches = block_forward_rows(self._blocks[-1], x, lambda tokens: tokens[:, 1:])
        return features, layer_norm(visual.ln_post, patches) @ visual.proj

    def _resnet_with_patches(self, visual: ModifiedResNet, image: Tensor) -> tuple[Tensor, Tensor]:
        pool = visual.attnpool
        x = image.to(self.dtype)
        for i in (1, 2, 3):
            conv, norm, relu = (getattr(visual, f"{name}{i}") for name in ("conv", "bn", "relu"))
            x = relu(norm(conv(x)))
        x = visual.avgpool(x)
        for layer in (visual.layer1, visual.layer2, visual.layer3, visual.layer4):
            x = layer(x)
        cells = x.flatten(2).transpose(1, 2)
        cells = cells + pool.positional_embedding[1:].to(cells.dtype)  # position 0 is the query's
        with twice_differentiable():
            return pool(x), pool.c_proj(pool.v_proj(cells))

    def lower(self, image: Tensor, until: int) -> Tensor:
        """Unprompted hidden state [B, 1 + patches, width] after block `until`; pass it back with start_block=until+1.

        Shared by the prompted and the frozen branch of methods that prompt the upper blocks only. Without a gradient
        to `image` no graph is kept.
        """
        visual = self.visual
        if not isinstance(visual, VisionTransformer):
            raise self._takes_no_prompts()
        if not 1 <= until <= self.depth:
            raise InputError(f"The image encoder of this backbone has {self.depth} blocks, {until} are asked for")
        with torch.set_grad_enabled(torch.is_grad_enabled() and image.requires_grad):
            x = self._enter(visual, image, None)
            for block in self._blocks[:until]:
                x = block_forward(block, x, causal=False)
        return x

    def _enter(self, visual: VisionTransformer, image: Tensor, append: Edit | None) -> Tensor:
        """Patches, CLS, positions, the prompts of block 1, ln_pre: [B, 3, H, W] -> [B, L, width]."""
        x = visual.conv1(image.to(self.dtype)).flatten(2).transpose(1, 2)
        # The type of x, not of the weights, leads: under autocast the tower runs as the stock one does.
        cls = visual.class_embedding.to(x.dtype).expand(x.shape[0], 1, -1)
        x = torch.cat([cls, x], dim=1) + visual.positional_embedding.to(x.dtype)
        if append is not None:
            x = append(x)
        return layer_norm(visual.ln_pre, x)

    def _takes_no_prompts(self) -> InputError:
        name = getattr(self.clip_model, "backbone_name", "this backbone")
        return InputError(
            f"{name} is a ResNet, which takes no prompt tokens: choose a ViT (MODEL.BACKBONE.NAME), "
            "or a method without visual prompts"
        )
