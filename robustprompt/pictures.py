"""Images as a notebook has them (files, PIL, arrays, tensors), made ready for a method, or refused in one sentence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dassl.utils import InputError

WHAT = "a file, a PIL image, or an array of uint8 (0 to 255) or floats (0 to 1)"


def as_list(images: Any) -> list[Any]:
    """The images one by one: files and PIL images as they are, arrays as Tensors [3, H, W] of uint8 or float32.

    images: one image, a list of them, or an array [3, H, W], [H, W, 3], [B, 3, H, W] or [B, H, W, 3] of numpy or torch.
    Raises InputError for anything else, for another number of channels, another dtype, and values outside the range.
    """
    if isinstance(images, (str, Path, Image.Image)):
        return [images]
    if isinstance(images, (np.ndarray, Tensor)):
        return _from_array(images)
    if not isinstance(images, Sequence):
        raise InputError(f"images is a {type(images).__name__}, but must be {WHAT}, or a list of these.")
    found = []
    for image in images:
        parts = as_list(image)
        if isinstance(image, (list, tuple)) or len(parts) != 1:
            raise InputError("A list of images has one image in each place, not several.")
        found += parts
    return found


def is_exact(images: Sequence[Any]) -> bool:
    """Whether the images are floats, which go to the model as they are. Raises InputError for a mixture."""
    exact = [isinstance(image, Tensor) and image.is_floating_point() for image in images]
    if any(exact) and not all(exact):
        raise InputError("Some images are arrays of floats and some are not; give those in a call of their own.")
    return any(exact)


def exact_batch(images: Sequence[Tensor], size: Sequence[int]) -> Tensor:
    """Float images as one batch [B, 3, *size]. Raises InputError unless all have the model's size, which is not changed
    for floats."""
    for image in images:
        if tuple(image.shape[1:]) != tuple(size):
            raise InputError(
                f"Images of floats have {tuple(image.shape[1:])} pixels, but the model takes {tuple(size)}: resize "
                "them, or give uint8, which is transformed as in the run's test."
            )
    return torch.stack(list(images))


def to_pil(image: Any) -> Any:
    """A uint8 Tensor [3, H, W] as a PIL image; files and PIL images stay."""
    return Image.fromarray(image.permute(1, 2, 0).contiguous().numpy()) if isinstance(image, Tensor) else image


def _from_array(array: np.ndarray | Tensor) -> list[Tensor]:
    if isinstance(array, np.ndarray) and array.dtype.kind not in "biuf":
        raise InputError(f"images are an array of {array.dtype}; an image is {WHAT}.")
    batch = torch.tensor(array) if isinstance(array, np.ndarray) else array.detach().cpu()
    shape = tuple(batch.shape)
    batch = batch[None] if batch.ndim == 3 else batch
    if batch.ndim != 4 or (3 not in (batch.shape[1], batch.shape[3])):
        raise InputError(
            f"images have the shape {shape}, but must be [B, 3, H, W] or [B, H, W, 3], or one image without B."
        )
    if batch.shape[1] != 3:
        batch = batch.permute(0, 3, 1, 2)
    if 0 in batch.shape[2:]:
        raise InputError(f"images have the shape {shape}: no pixel is in them.")
    if batch.is_floating_point():
        return list(_checked(batch.float()))
    if batch.dtype != torch.uint8:
        raise InputError(f"images are {str(batch.dtype).removeprefix('torch.')}, but must be uint8 or floats.")
    return list(batch)


def _checked(batch: Tensor) -> Tensor:
    """Raises InputError for values that are no floats from 0 to 1."""
    if not bool(batch.isfinite().all()):
        raise InputError("images hold NaN or infinite values; floats go from 0 to 1.")
    if batch.numel() and (batch.min() < 0 or batch.max() > 1):
        low, high = float(batch.min()), float(batch.max())
        hint = (
            "divide them by 255" if low >= 0 and high <= 255 else "undo the normalisation, which the model does itself"
        )
        raise InputError(f"images are floats from {low:g} to {high:g}, but must be from 0 to 1: {hint}.")
    return batch
