"""Does a backbone read images of this size? Its position embedding is for one number of patches a side."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from .architecture import Architecture
from .errors import InputError

logger = logging.getLogger(__name__)


def check_input_size(size: Sequence[int], architecture: Architecture, name: str) -> None:
    """Raises InputError unless images of INPUT.SIZE (height, width) have the backbone's rows and columns of patches.

    A size that only cuts off a rest of pixels goes on, with a warning. name: of the backbone, or its file.
    """
    own = architecture.image_size
    if tuple(size) == (own, own):
        return
    height, width = size
    fits = rows(height, architecture) == rows(width, architecture) == rows(own, architecture)
    text = f"INPUT.SIZE is {height} x {width}, but {name} reads images of {own} x {own}"
    if not fits:
        raise InputError(f'{text}: set INPUT.SIZE "({own},{own})", or take another backbone.')
    logger.warning("Warning: %s; the pixels that are left over at the border are not seen", text)


def rows(side: int, architecture: Architecture) -> int:
    """Patches along a side of so many pixels; of a ResNet, positions of its last feature map."""
    return -(-side // 2) // 16 if architecture.patch is None else side // architecture.patch
