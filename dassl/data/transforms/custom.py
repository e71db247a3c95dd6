"""Transforms that torchvision does not have in this form."""

from __future__ import annotations

import random

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as F


class Random2DTranslation:
    """With probability `p` enlarge by an eighth and crop at random, else resize. `height`, `width` in pixels."""

    def __init__(self, height: int, width: int, p: float = 0.5, interpolation: InterpolationMode = InterpolationMode.BILINEAR) -> None:
        self.height = height
        self.width = width
        self.p = p
        self.interpolation = interpolation

    def __call__(self, img: Image) -> Image:
        size = [self.height, self.width]
        if random.uniform(0, 1) > self.p:
            return F.resize(img, size, self.interpolation)
        large = [round(x * 1.125) for x in size]
        top, left = (round(random.uniform(0, a - b)) for a, b in zip(large, size, strict=True))
        return F.crop(F.resize(img, large, self.interpolation), top, left, *size)


class Cutout:
    """Set `n_holes` squares of `length` pixels, cut off at the border, to zero in an image tensor [C, H, W]."""

    def __init__(self, n_holes: int = 1, length: int = 16) -> None:
        self.n_holes = n_holes
        self.length = length

    def __call__(self, img: Tensor) -> Tensor:
        img = img.clone()
        h, w = img.shape[1:]
        for _ in range(self.n_holes):
            y, x = np.random.randint(h), np.random.randint(w)  # noqa: NPY002
            half = self.length // 2
            img[:, max(0, y - half) : y + half, max(0, x - half) : x + half] = 0.0
        return img


class GaussianNoise:
    """With probability `p` add normal noise to an image tensor."""

    def __init__(self, mean: float = 0.0, std: float = 0.15, p: float = 0.5) -> None:
        self.mean = mean
        self.std = std
        self.p = p

    def __call__(self, img: Tensor) -> Tensor:
        if random.uniform(0, 1) > self.p:
            return img
        return img + torch.randn(img.size()) * self.std + self.mean


class InstanceNormalization:
    """Each channel of an image tensor [C, H, W] to mean 0 and standard deviation 1."""

    def __init__(self, eps: float = 1e-8) -> None:
        self.eps = eps

    def __call__(self, img: Tensor) -> Tensor:
        flat = img.flatten(1)
        mean = flat.mean(1)[:, None, None]
        std = flat.std(1)[:, None, None]
        return (img - mean) / (std + self.eps)
