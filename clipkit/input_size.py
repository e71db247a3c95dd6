"""Checks that a backbone reads images of INPUT.SIZE: its position embedding is for one number of patches per side."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from .errors import InputError

logger = logging.getLogger(__name__)


def check_input_size(size: Sequence[int], own: int, patch: int | None, name: str) -> None:
    """Raises InputError unless images of INPUT.SIZE (height, width) have the backbone's rows and columns of patches.

    own: the side of its images, in pixels. patch: the side of its patches, None for a ResNet. name: the backbone's, or
    its file's. Logs a warning where the number of patches is right but pixels at the border are in none of them.
    """
    height, width = size
    if height == width == own:
        return
    text = f"INPUT.SIZE is {height} x {width}, but {name} reads images of {own} x {own}"
    if not rows(height, patch) == rows(width, patch) == rows(own, patch):
        raise InputError(f'{text}: set INPUT.SIZE "({own},{own})", or take another backbone.')
    logger.warning("Warning: %s; the pixels that are left over at the border are not seen", text)


def rows(side: int, patch: int | None) -> int:
    """Number of patches along a side of `side` pixels; for a ResNet, of cells along a side of its last feature map."""
    return -(-side // 2) // 16 if patch is None else side // patch
