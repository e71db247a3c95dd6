"""The visual tokens that prompts attend to: an image's patches, or parts of its one feature."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clipkit import ImageEncoder, InputError

from ..shared.precision import autocast
from ..shared.training_list import TrainingList

if TYPE_CHECKING:
    from ..shared.method import Method


def patch_tokens(encoder: ImageEncoder, image: Tensor) -> Tensor:
    """[B, 3, H, W] -> [B, 1 + G, d], not normalised: the frozen tower's feature, then its G patches. With a graph where
    an attack asks for the gradient of the image."""
    with torch.set_grad_enabled(torch.is_grad_enabled() and image.requires_grad):
        features, patches = encoder.with_patches(image.type(encoder.dtype))
        return torch.cat([features[:, None], patches], dim=1)


def with_quarters(tokens: Tensor) -> Tensor:
    """[B, 1 + G, d] -> [B, 1 + G + 4, d]: the means over the four quarters of the (square) grid as a coarser scale."""
    side = math.isqrt(tokens.shape[1] - 1)
    grid = tokens[:, 1:].transpose(1, 2).unflatten(2, (side, side))
    quarters = F.adaptive_avg_pool2d(grid, 2).flatten(2).transpose(1, 2)
    return torch.cat([tokens, quarters], dim=1)


class FeatureTokens(nn.Module):
    """Tokens [B, n, hidden] from one feature [B, d]: its n channel groups, each through one shared map plus the group's
    own embedding; `whole` adds a token of the whole feature (multi-scale).

    Raises InputError unless n divides d.
    """

    def __init__(self, d: int, n: int, hidden: int, whole: bool) -> None:
        super().__init__()
        if n < 1 or d % n:
            raise InputError(
                f"TRAINER.VISPROMPT.PROMPT_POOL_SIZE is {n}, but must divide the {d} channels of an image's feature."
            )
        self.group = nn.Linear(d // n, hidden, bias=False)
        self.embedding = nn.Parameter(0.02 * torch.randn(n, hidden))
        self.whole = nn.Linear(d, hidden, bias=False) if whole else None

    def forward(self, f: Tensor) -> Tensor:
        tokens = self.group(f.unflatten(1, (len(self.embedding), -1))) + self.embedding
        return tokens if self.whole is None else torch.cat([tokens, self.whole(f)[:, None]], dim=1)


class TokenList(TrainingList):
    """The training items for a method that uses patches: their visual tokens are computed once and stay in memory if
    all of them take at most `limit` bytes, else they are computed in each pass. The transform is not random, so both
    give the same numbers."""

    def __init__(self, trainer: Method, limit: int) -> None:
        super().__init__(trainer)
        self.limit = limit
        self.kept: list[dict] | None = None

    @property
    def batches(self) -> TokenList:
        return self

    def __iter__(self) -> Iterator[dict]:
        """Batches whose `img` is visual tokens [B, 1 + G, d]."""
        if self.kept is not None:
            yield from self.kept
            return
        trainer, kept, room = self.trainer, [], self.limit
        for batch in self.loader:
            with autocast(trainer.precision, trainer.device, training=False):
                tokens = patch_tokens(trainer.image_encoder, batch["img"].to(trainer.device))
            room -= tokens.nbytes
            if room >= 0:
                kept.append({"img": tokens.cpu(), "label": batch["label"]})
            else:
                kept.clear()
            yield {"img": tokens, "label": batch["label"]}
        self.kept = kept if room >= 0 else None
