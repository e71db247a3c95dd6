"""Pictures: the 8-bit images [H, W] that a test transform makes before normalisation, from which attacks start."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms import CenterCrop, Compose, Normalize, Resize, ToTensor
from yacs.config import CfgNode

from dassl.data.datasets import Datum
from dassl.data.transforms import INTERPOLATION_MODES
from dassl.utils import InputError, read_image


def split_transform(transform: Compose) -> tuple[Compose, Compose]:
    """A test chain as (image -> picture, picture -> tensor).

    Raises InputError where the second part does more than normalise, so that eps would not be in pixels.
    """
    steps = list(transform.transforms)
    cut = next(i for i, step in enumerate(steps) if isinstance(step, ToTensor))
    if not all(isinstance(step, (ToTensor, Normalize)) for step in steps[cut:]):
        names = ", ".join(type(step).__name__ for step in steps[cut + 1 :])
        raise InputError(f"Attacks need test pictures that are normalised and nothing else, not: {names}.")
    return Compose(steps[:cut]), Compose(steps[cut:])


def picture_transform(cfg: CfgNode) -> Compose:
    """The test transform of `cfg.INPUT` up to the picture. Raises InputError if such pictures cannot be attacked."""
    given = cfg.INPUT
    height, width = given.SIZE
    if height != width:
        raise InputError(f"INPUT.SIZE is {height} x {width}, but attacked pictures are squares.")
    if given.NO_TRANSFORM:
        raise InputError("INPUT.NO_TRANSFORM leaves images at their own sizes, which cannot be attacked together.")
    if "instance_norm" in given.TRANSFORMS:
        raise InputError("INPUT.TRANSFORMS has instance_norm, after which eps has no meaning in pixels; leave it out.")
    if given.INTERPOLATION not in INTERPOLATION_MODES:
        raise InputError(f"INPUT.INTERPOLATION must be one of {', '.join(INTERPOLATION_MODES)}.")
    return square_picture(height, given.INTERPOLATION, given.get("RESIZE_MODE", "shortest"))


def square_picture(size: int, interpolation: str = "bicubic", mode: str = "shortest") -> Compose:
    """Shorter side to `size`, centre crop: Dassl's test transform up to the tensor; "squash": both sides, no crop."""
    if mode == "squash":
        return Compose([Resize((size, size), interpolation=INTERPOLATION_MODES[interpolation])])
    return Compose([Resize(size, interpolation=INTERPOLATION_MODES[interpolation]), CenterCrop((size, size))])


def base_pictures(items: Sequence[Datum], transform: Callable[[Image.Image], Image.Image] | int) -> BasePictures:
    """The clean pictures of items, as a sequence: `[i]` is uint8 [3, H, W], made when it is asked for.

    transform: image -> picture, from `picture_transform`; or a size in pixels, for CLIP's bicubic resize and crop.
    """
    return BasePictures(items, square_picture(transform) if isinstance(transform, int) else transform)


class BasePictures(Dataset):
    """The sequence that `base_pictures` returns: a torch data set, so that workers can make pictures ahead."""

    def __init__(self, items: Sequence[Datum], transform: Callable[[Image.Image], Image.Image]) -> None:
        self.items, self.transform = items, transform

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Tensor:
        return to_uint8(self.transform(read_image(self.items[index].impath)))


def to_uint8(image: Image.Image) -> Tensor:
    """The pixels of an RGB image, uint8 [3, H, W]."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()


def to_image(picture: Tensor) -> Image.Image:
    """A uint8 picture [3, H, W] as a PIL image."""
    return Image.fromarray(picture.permute(1, 2, 0).numpy())
