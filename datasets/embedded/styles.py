"""Whole-image styles that no training image has: systematic shifts of the downstream sets."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

_LUMA = (0.3, 0.59, 0.11)


def _grey(images: Tensor) -> Tensor:
    return (images * torch.tensor(_LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)


def _two_tone(value: Tensor, g: torch.Generator) -> Tensor:
    """A value in 0..1 [B, 1, H, W] between two random tints, the first dark and the second light."""
    n = len(value)
    low, high = 0.35 * torch.rand(n, 3, 1, 1, generator=g), 0.65 + 0.35 * torch.rand(n, 3, 1, 1, generator=g)
    return low + (high - low) * value


def _slopes(grey: Tensor) -> tuple[Tensor, Tensor]:
    """Horizontal and vertical central differences, same size."""
    padded = F.pad(grey, (1, 1, 1, 1), mode="replicate")
    return padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2], padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]


def _stretch(value: Tensor, share: float = 0.98) -> Tensor:
    """Each image divided by its `share` quantile, clipped to 0..1."""
    top = value.flatten(1).quantile(share, dim=1).clamp_min(0.05)
    return (value / top[:, None, None, None]).clamp(0, 1)


def negative(images: Tensor, g: torch.Generator) -> Tensor:
    """A tinted film negative: brightness inverted, one hue for the whole image."""
    return _two_tone(1 - _grey(images), g)


def contour(images: Tensor, g: torch.Generator) -> Tensor:
    """Only the edges, light on dark."""
    dx, dy = _slopes(_grey(images))
    return _two_tone(_stretch(torch.hypot(dx, dy)), g)


def relief(images: Tensor, g: torch.Generator) -> Tensor:
    """Pressed into clay: slopes lit from the upper left, everything flat is one grey."""
    dx, dy = _slopes(_grey(images))
    slope = dx + dy
    size = _stretch(slope.abs())
    return _two_tone(0.5 + 0.5 * size * slope.sign(), g)


def solarized(images: Tensor, g: torch.Generator) -> Tensor:
    """Bright values folded back into dark ones, channel by channel."""
    return 1 - (2 * images - 1).abs()


def mosaic(images: Tensor, g: torch.Generator, cells: int = 14) -> Tensor:
    """A coarse scan: averaged to cells x cells and enlarged again."""
    small = F.interpolate(images, size=(cells, cells), mode="area")
    return F.interpolate(small, size=images.shape[-2:], mode="bicubic", align_corners=False).clamp(0, 1)


STYLES: dict[str, Callable[[Tensor, torch.Generator], Tensor]] = {
    "plain": lambda images, g: images,
    "negative": negative,
    "contour": contour,
    "relief": relief,
    "solarized": solarized,
    **{f"mosaic_{cells}": functools.partial(mosaic, cells=cells) for cells in (7, 8, 9, 11, 12)},
    "mosaic_15_relief": lambda images, g: mosaic(relief(images, g), g, 15),
    "negative_solarized": lambda images, g: negative(solarized(images, g), g),
}
