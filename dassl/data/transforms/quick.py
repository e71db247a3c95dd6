"""torchvision's RandomResizedCrop, ToTensor and Normalize, faster: the same draws, and the same numbers to the bit.

torchvision makes its constants anew and checks its arguments for every image, which takes longer than the work itself where
images are small. Only 8-bit RGB images of Pillow and float32 tensors on the CPU take the fast way; for anything else
torchvision's own code runs.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor
from torchvision import transforms
from torchvision.transforms.functional import pil_modes_mapping


class RandomResizedCrop(transforms.RandomResizedCrop):
    """A random part of an image, in the size that is asked for. Arguments as torchvision's."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._log_ratio = torch.log(torch.tensor(self.ratio)).tolist()

    def forward(self, img: Any) -> Any:
        if not isinstance(img, Image):
            return super().forward(img)
        top, left, height, width = self._draw(*img.size)
        part = img.crop((left, top, left + width, top + height))
        return part.resize(self.size[::-1], pil_modes_mapping[self.interpolation])

    def _draw(self, width: int, height: int) -> tuple[int, int, int, int]:
        """(top, left, height, width) of the part, as `get_params` draws it."""
        drawn = torch.empty(1)
        for _ in range(10):
            area = height * width * drawn.uniform_(*self.scale).item()
            ratio = drawn.uniform_(*self._log_ratio).exp_().item()
            w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < w <= width and 0 < h <= height:
                top = torch.randint(0, height - h + 1, (1,)).item()
                return int(top), int(torch.randint(0, width - w + 1, (1,)).item()), h, w
        w = min(width, round(height * max(self.ratio)))  # no draw fitted: the largest part in the middle
        h = min(height, round(width / min(self.ratio)))
        return (height - h) // 2, (width - w) // 2, h, w


class ToTensor(transforms.ToTensor):
    """An image [H, W] as a tensor [3, H, W] of numbers from 0 to 1."""

    def __call__(self, pic: Any) -> Tensor:
        if not isinstance(pic, Image) or pic.mode != "RGB":
            return super().__call__(pic)
        planes = np.empty((3, pic.height, pic.width), np.uint8)
        planes[...] = np.asarray(pic).transpose(2, 0, 1)
        return torch.from_numpy(planes).to(torch.get_default_dtype()).div_(255)


class Normalize(transforms.Normalize):
    """(x - mean) / std of each channel of a tensor [C, H, W]. Arguments as torchvision's."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        mean, std = (torch.tensor(values, dtype=torch.float32).reshape(-1, 1, 1) for values in (self.mean, self.std))
        self._shift, self._scale = mean, std
        self._quick = not self.inplace and bool((std != 0).all())

    def forward(self, tensor: Tensor) -> Tensor:
        if not self._quick or tensor.dtype != torch.float32 or tensor.ndim != 3 or tensor.device.type != "cpu":
            return super().forward(tensor)
        return tensor.sub(self._shift).div_(self._scale)
