"""Decoded images kept in memory: a few-shot training set is tiny and is read once per epoch."""

from __future__ import annotations

from PIL import Image

from dassl.utils.tools import read_image

PIXEL = 4  # bytes that Pillow takes for an RGB pixel


class DecodedImages:
    """Reads images as `read_image` does, and keeps as many of them (RGB, 8 bits) as fit into `limit` bytes.

    Every call gives an image of its own, with the same pixels as the file's: only the decoding is saved.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self._images: dict[str, Image.Image] = {}

    def __call__(self, path: str) -> Image.Image:
        kept = self._images.get(path)
        if kept is not None:
            return kept.copy()
        image = read_image(path)
        size = PIXEL * image.width * image.height
        if self.used + size <= self.limit:
            self._images[path] = image.copy()
            self.used += size
        return image
