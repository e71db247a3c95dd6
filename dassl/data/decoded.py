"""Decoded images kept in memory: a few-shot training set is tiny and is read once an epoch."""

from __future__ import annotations

import numpy as np
from PIL import Image

from dassl.utils.tools import read_image


class DecodedImages:
    """Reads images as `read_image` does, and keeps the pixels (uint8, H x W x 3) of as many as fit into `limit` bytes.

    Every call gives an image of its own, with the same pixels as the file's: only the decoding is saved.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self._pixels: dict[str, np.ndarray] = {}

    def __call__(self, path: str) -> Image.Image:
        pixels = self._pixels.get(path)
        if pixels is not None:
            return Image.fromarray(pixels)
        image = read_image(path)
        size = 3 * image.width * image.height
        if self.used + size <= self.limit:
            self._pixels[path] = np.array(image)
            self.used += size
        return image
