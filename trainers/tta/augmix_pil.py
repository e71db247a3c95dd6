"""Views by Pillow, on 8-bit pictures, as the published code makes them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from .augmix import Operation, View

BILINEAR = Image.Resampling.BILINEAR


def pil_views(picture: Image.Image, views: Sequence[View], size: Sequence[int]) -> Tensor:
    """[V, 3, h, w] views of an RGB picture: fp32 in [0, 1]; uint8 if no view is mixed, since all values are then
    8-bit."""
    if not any(view.chains for view in views):
        made = [np.asarray(_crop(picture, view, size)) for view in views]
        stacked = np.stack(made) if made else np.empty((0, *size, 3), np.uint8)
        return torch.from_numpy(stacked).permute(0, 3, 1, 2).contiguous()
    mixed = torch.empty(len(views), 3, *size)
    for out, view in zip(mixed, views, strict=True):
        out.copy_(torch.from_numpy(_mix(_crop(picture, view, size), view)).permute(2, 0, 1))
    return mixed.div_(255)


def _crop(picture: Image.Image, view: View, size: Sequence[int]) -> Image.Image:
    box = (view.left, view.top, view.left + view.width, view.top + view.height)
    crop = picture.crop(box).resize((size[1], size[0]), BILINEAR)
    return crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if view.flip else crop


def _mix(crop: Image.Image, view: View) -> np.ndarray:
    """m z + (1 - m) sum_k w_k chain_k(z), [h, w, 3] in 0 .. 255."""
    mixed = np.float32(view.keep) * np.asarray(crop)
    for weight, chain in zip(view.weights, view.chains, strict=True):
        image = crop
        for operation in chain:
            image = apply(image, operation)
        mixed += np.float32((1 - view.keep) * weight) * np.asarray(image)
    return mixed


def apply(image: Image.Image, operation: Operation) -> Image.Image:
    """Applies one operation; geometric ones are bilinear, with black outside of the picture."""
    name, amount = operation
    if name == "autocontrast":
        return ImageOps.autocontrast(image)
    if name == "equalize":
        return ImageOps.equalize(image)
    if name == "posterize":
        return ImageOps.posterize(image, int(amount))
    if name == "solarize":
        return ImageOps.solarize(image, int(amount))
    if name == "rotate":
        return image.rotate(amount, resample=BILINEAR)
    return image.transform(image.size, Image.Transform.AFFINE, affine(operation), resample=BILINEAR)


def affine(operation: Operation) -> tuple[float, float, float, float, float, float]:
    """(a, b, c, d, e, f): the output's point (x, y) shows the input's (a x + b y + c, d x + e y + f)."""
    name, amount = operation
    return {
        "shear_x": (1, amount, 0, 0, 1, 0),
        "shear_y": (1, 0, 0, amount, 1, 0),
        "translate_x": (1, 0, amount, 0, 1, 0),
        "translate_y": (1, 0, 0, 0, 1, amount),
    }[name]
