"""The n views of each test image, made by worker processes: the plain picture first, then random ones.

The draws of an image come from a generator of its own, keyed by (seed, data set, split, relative path), so they do not
depend on the order of the images, on the number of workers, or on whether the picture was attacked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from yacs.config import CfgNode

from dassl.config.shown import data_name
from dassl.data.workers import usable_workers
from dassl.utils import InputError, base_seed, read_image, stream_seed
from datasets.attacked.pictures import square_picture, to_image, to_uint8
from datasets.reading.paths import image_folder, relative_paths

from .augmix import View, draw_views
from .augmix_pil import pil_views
from .augmix_tensor import tensor_views

if TYPE_CHECKING:
    from dassl.data.datasets import DatasetBase


@dataclass
class ViewedImage:
    """An image from a worker: with its random views, or with all that is needed to make them on the device."""

    index: int
    label: int
    path: str
    seed: int
    plain: Tensor  # uint8 [3, h, w]
    views: Tensor | None = None  # the random ones; uint8, or fp32 in [0, 1]
    source: Tensor | None = None  # uint8 [3, H, W], for the tensor backend
    drawn: list[View] = field(default_factory=list)
    features: Tensor | None = None  # [n, d] of the views, not normalised, on the device: then there are no pixels


class ViewMaker:
    """Makes the views of images by the config of a test-time method.

    n: views of an image, the plain one included. mixes: what AUGMIX auto means here. The random ones are cropped from
    the plain picture (VIEW_SOURCE processed), which is all that an adversarial set has, or from the whole file
    (original).
    """

    def __init__(self, cfg: CfgNode, n: int, mixes: bool = True) -> None:
        tta = cfg.TRAINER.TTA
        self.n, self.size = n, tuple(cfg.INPUT.SIZE)
        if self.size[0] != self.size[1]:
            raise InputError(f"INPUT.SIZE is {self.size[0]} x {self.size[1]}, but views are squares.")
        self.picture = square_picture(self.size[0], cfg.INPUT.INTERPOLATION, cfg.INPUT.get("RESIZE_MODE", "shortest"))
        self.augmix = n > 1 and (mixes if tta.AUGMIX == "auto" else tta.AUGMIX in ("on", "True"))
        self.scale = tuple(cfg.INPUT.RRCROP_SCALE)
        self.flip = 0.5 if "random_flip" in cfg.INPUT.TRANSFORMS else 0.0  # letters and digits have a right way round
        self.on_device = tta.AUG_BACKEND == "tensor"
        self.original = tta.VIEW_SOURCE == "original"
        resize = (cfg.INPUT.INTERPOLATION, cfg.INPUT.get("RESIZE_MODE", "shortest"))
        # all settings that the views of a picture depend on, apart from their seeds
        self.recipe = [self.n, *self.size, *resize, self.augmix, *self.scale, self.flip, self.on_device, self.original]

    def start(self, plain: Image.Image, full: Image.Image, index: int, label: int, path: str, seed: int) -> ViewedImage:
        """The part that a loader's worker computes. plain: the picture at the model's size; full: that of the file."""
        found = ViewedImage(index, label, path, seed, to_uint8(plain))
        if self.n > 1:
            source = full if self.original else plain
            shape = (source.height, source.width)
            drawn = draw_views(seed, self.n - 1, shape, self.size, self.augmix, self.scale, self.flip)
            if self.on_device:
                found.source, found.drawn = to_uint8(source), drawn
            else:
                found.views = pil_views(source, drawn, self.size)
        return found

    def finish(self, image: ViewedImage, device: torch.device) -> Tensor:
        """All views of the image on the device: fp32 [n, 3, h, w] in [0, 1]."""
        plain = image.plain.to(device).float().div(255)[None]
        if self.n == 1:
            return plain
        if image.views is None:
            views = tensor_views(image.source.to(device).float(), image.drawn, self.size)
        else:
            views = image.views.to(device)
        return torch.cat([plain, views.float() / 255 if views.dtype == torch.uint8 else views])

    def of_picture(self, picture: Tensor, seed: int) -> ViewedImage:
        """`start` for a uint8 picture [3, h, w] without a file: its draws are keyed by its pixels."""
        digest = hashlib.sha256(picture.contiguous().numpy().data).hexdigest()
        image = to_image(picture)
        return self.start(image, image, -1, -1, "", stream_seed(seed, "views", digest))


class ViewDataset(Dataset):
    """The items of a test loader as `ViewedImage`s.

    clean: indices of items whose clean picture is used while the others come from an adversarial set. Raises InputError
    for VIEW_SOURCE original with pictures of an adversarial set.
    """

    def __init__(
        self, maker: ViewMaker, loader: DataLoader, keys: Sequence[str], seeds: Sequence[int],
        clean: Collection[int] = (),
    ) -> None:  # fmt: skip
        self.maker, self.clean = maker, clean
        self.items = loader.dataset.data_source
        self.attacked = getattr(self.items, "read", None)  # items of an adversarial set: path -> picture
        if self.attacked is not None and maker.original:
            raise InputError(
                "TRAINER.TTA.VIEW_SOURCE original crops the image file, but TEST.ADV_SET and TEST.CORRUPTION have "
                "pictures at the model's size only; take VIEW_SOURCE processed for all images."
            )
        self.keys, self.seeds = list(keys), list(seeds)

    def __len__(self) -> int:
        return len(self.items)

    def about(self, index: int) -> ViewedImage:
        """The image without its pixels, which are not read."""
        return ViewedImage(index, self.items[index].label, self.keys[index], self.seeds[index], torch.empty(0))

    def __getitem__(self, index: int) -> ViewedImage:
        if self.attacked is not None and index not in self.clean:
            full = plain = self.attacked(self.items[index].impath)
        else:
            full = read_image(self.items[index].impath)
            plain = self.maker.picture(full)
        return self.maker.start(plain, full, index, self.items[index].label, self.keys[index], self.seeds[index])


def view_seeds(cfg: CfgNode, split: str, keys: Sequence[str]) -> list[int]:
    """The seeds of the views of test images. keys: their paths below the dataset's image folder."""
    return [stream_seed(base_seed(cfg), "views", data_name(cfg), split, key) for key in keys]


def view_loader(
    cfg: CfgNode, maker: ViewMaker, loader: DataLoader, data: DatasetBase, split: str,
    order: Sequence[int] | None = None, clean: Collection[int] = (),
) -> DataLoader:  # fmt: skip
    """`ViewedImage`s in the order of `loader`, a test loader of the data set `data`. order: of the items' indices, in
    place of that; clean: see `ViewDataset`."""
    items = loader.dataset.data_source
    keys = relative_paths(items, image_folder(data, list(items)))
    dataset = ViewDataset(maker, loader, keys, view_seeds(cfg, split, keys), clean)
    workers = usable_workers(cfg.DATALOADER.NUM_WORKERS)
    # A generator of its own, since starting workers would draw from the global one.
    return DataLoader(dataset, batch_size=None, sampler=order, num_workers=workers, generator=torch.Generator())


def groups(images: Iterator[ViewedImage], size: int) -> Iterator[list[ViewedImage]]:
    """Lists of `size` images, the last one shorter."""
    group: list[ViewedImage] = []
    for image in images:
        group.append(image)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


def full(x: Tensor) -> Tensor:
    """x in fp32, or in fp64 if it has that type."""
    return x if x.dtype == torch.float64 else x.float()
