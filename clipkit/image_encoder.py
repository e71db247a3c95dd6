"""CLIP's image tower, prompted from outside."""

from __future__ import annotations

from typing import Any, Literal, overload

import torch
from torch import Tensor

from . import deep_prompts
from .attention import twice_differentiable
from .changed_blocks import Changes
from .deep_prompts import Prompts
from .errors import InputError
from .image_tower import ImageTower, OpenAIViT, Watch, image_tower, token_edits, watched
from .openai_clip import CLIP, ModifiedResNet


class ImageEncoder:
    """Runs the image tower of a frozen CLIP. Not an nn.Module: CLIP stays out of state dicts.

    ViTs take prompts; towers without tokens (ResNets, ConvNeXt) run as they are and refuse prompts.
    """

    def __init__(self, clip_model: CLIP) -> None:
        self.clip_model = clip_model
        self.visual = clip_model.visual
        self.tower = image_tower(clip_model.visual)
        self._entered = [0]  # one count for all encoders that were made from this one

    def changed(self, changes: Changes) -> ImageEncoder:
        """An encoder with these changes in its blocks. Raises InputError unless it is a ViT of OpenAI's layout."""
        encoder = ImageEncoder(self.clip_model)
        encoder._tower().change(changes)
        encoder._entered = self._entered
        return encoder

    @property
    def encoded(self) -> int:
        """The number of images that entered the tower, changed or not."""
        return self._entered[0]

    @property
    def is_vit(self) -> bool:
        return self.tower is not None

    @property
    def width(self) -> int:
        """Width of the ViT's tokens; of a ResNet the width of the features that enter its attention pool."""
        if self.tower is not None:
            return self.tower.width
        visual: Any = self.visual
        return visual.attnpool.k_proj.weight.shape[-1] if hasattr(visual, "attnpool") else visual.trunk.num_features

    @property
    def depth(self) -> int:
        """Number of transformer blocks, 0 for a tower without tokens."""
        return 0 if self.tower is None else self.tower.depth

    @property
    def patch(self) -> int | None:
        """Side of a patch in pixels; None for a tower without tokens."""
        return None if self.tower is None else self.tower.patch

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

    def projection(self) -> Tensor:
        """A new [width, embed_dim] matrix from a token after the last layer norm to the space of the features, in fp32:
        the tower's own, or the identity where it has none (SigLIP). Raises InputError for a tower that has neither."""
        own = None if self.tower is None else self.tower.projection()
        if own is None and self.width == self.embed_dim:
            return torch.eye(self.width, device=self.clip_model.logit_scale.device)
        if own is None:
            raise self._takes_no_prompts()
        return own.detach().float().clone()

    @overload
    def __call__(
        self,
        image: Tensor,
        replace: Prompts = None,
        insert: Prompts = None,
        start_block: int = 1,
        *,
        after_norm: bool = False,
        watch: Watch | None = None,
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
        insert_weight: float = 1.0,
        sees: Tensor | None = None,
        after_norm: bool = False,
        watch: Watch | None = None,
    ) -> tuple[Tensor, Tensor]: ...

    def __call__(
        self,
        image: Tensor,
        replace: Prompts = None,
        insert: Prompts = None,
        start_block: int = 1,
        return_tokens: bool = False,
        insert_weight: float = 1.0,
        sees: Tensor | None = None,
        after_norm: bool = False,
        watch: Watch | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Features [B, embed_dim] of B images, not normalised.

        image: [B, 3, size, size], normalised pixels; with `start_block` > 1 the hidden state that enters that block,
            from `lower`.
        replace: {b: [n, width] or [B, n, width]}: before the smallest b the n tokens are appended after the patches
            (for b=1 after the positional embedding and before ln_pre), before the later ones the last n tokens are
            overwritten (VPT, MaPLe).
        insert: {b: [K, width] or [B, K, width]}: before the smallest b the K tokens go in after CLS, before the later
            ones the positions 1 .. K are overwritten (MMRL).
        insert_weight: overwritten tokens become weight * new + (1 - weight) * old (MMRL++).
        sees: attention mask [L, L] over all L tokens, prompts included, for every block: True where the token of a row
            may attend to that of a column (TAC).
        after_norm: `replace` tokens for b=1 are appended after ln_pre, not before it (DeFT).
        watch: called before each block as watch(b, tokens [B, L, width]), the prompts among them (TAPT).
        return_tokens: return (features, tokens) with tokens [B, n, width] = ln_post of the prompt tokens' outputs.
        """
        tower = self.tower
        self._entered[0] += len(image) if start_block == 1 else 0
        if tower is None:
            if replace or insert or return_tokens or watch or start_block != 1:
                raise self._takes_no_prompts()
            with twice_differentiable():
                return self.visual(image.to(self.dtype))
        deep_prompts.refuse_both(replace, insert)
        if return_tokens and not (replace or insert):
            raise InputError("return_tokens needs prompt tokens: give `replace` or `insert`")
        edits = token_edits(tower, replace, insert, start_block, insert_weight)
        append = edits.pop(1, None) if replace and tower.at_end and not after_norm else None
        if watch is not None:
            edits = watched(edits, watch, start_block, tower.depth)
        x = tower.enter(image.to(self.dtype), append) if start_block == 1 else image
        n = deep_prompts.count(replace or insert)
        prompts = slice(-n, None) if replace and tower.at_end and n else slice(tower.prefix, tower.prefix + n)
        features, tokens = tower.features(x, edits, start_block, prompts, return_tokens, sees)
        return (features, tokens) if return_tokens else features

    def with_patches(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """(features [B, embed_dim], patches [B, G, embed_dim]): the unprompted tower's output, the same as `__call__`'s
        to the last bit, and the patches of its last layer in the same space, row by row of the grid; not normalised.

        ViT: ln_post and the projection on each patch token. ResNet: each cell of the last feature map, its position
        added, through the value and the output projection of the attention pool: what the pool would average.
        """
        tower = self.tower
        self._entered[0] += len(image)
        if tower is None:
            if not isinstance(self.visual, ModifiedResNet):
                raise self._takes_no_prompts()
            return self._resnet_with_patches(self.visual, image)
        x = tower.lower(tower.enter(image.to(self.dtype)), self.depth - 1)
        return self(x, start_block=self.depth), tower.patches(x)

    def with_attention(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """(tokens [B, 1 + G, embed_dim], attention [B, G]) of the unprompted tower: CLS and the patches of the last
        layer in the space of the features, not normalised, and how much CLS attends to each patch there, the mean over
        heads. The first token is `__call__`'s feature. Raises InputError for a tower of another layout than OpenAI's.
        """
        tower = self._tower()
        if not isinstance(tower, OpenAIViT):
            raise InputError(
                "The attention of CLS can be read in image towers of OpenAI's layout only: choose such a ViT"
            )
        self._entered[0] += len(image)
        return tower.with_attention(tower.lower(tower.enter(image.to(self.dtype)), self.depth - 1))

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
        tower = self._tower()
        if not 1 <= until <= self.depth:
            raise InputError(f"The image encoder of this backbone has {self.depth} blocks, {until} are asked for")
        self._entered[0] += len(image)
        with torch.set_grad_enabled(torch.is_grad_enabled() and image.requires_grad):
            return tower.lower(tower.enter(image.to(self.dtype)), until)

    def _tower(self) -> ImageTower:
        if self.tower is None:
            raise self._takes_no_prompts()
        return self.tower

    def _takes_no_prompts(self) -> InputError:
        name = getattr(self.clip_model, "backbone_name", "this backbone")
        what = "a ResNet" if isinstance(self.visual, ModifiedResNet) else "a tower without tokens of one width"
        return InputError(
            f"{name} is {what}, which takes no prompt tokens: choose a ViT (MODEL.BACKBONE.NAME), "
            "or a method without visual prompts"
        )
