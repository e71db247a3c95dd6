"""Photographs for the embedded CLIP's third stage: training pictures alone, none of a left-out class."""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor

from dassl.utils import InputError
from dassl.utils.images import read_image

from .photo_facts import FACTS

SIDE = 48
# Caltech101 as the dataset of that name reads it: its folder, the split in it, the images, names that are no words.
FOLDER, SPLIT, IMAGES = "caltech-101", "split_zhou_Caltech101.json", "101_ObjectCategories"
RENAMES = {"airplanes": "airplane", "Faces": "face", "Leopards": "leopard", "Motorbikes": "motorbike"}
_STORED = 64  # the shorter side of a picture in memory, so that crops have something to choose from
_EVERY, _LEFT = 4, 3  # of Caltech101's labels, those that leave _LEFT when divided by _EVERY are left out


@dataclass
class Photos:
    """N pictures [3, h, w] (uint8, of different sizes), and the index of each one's class among `names`."""

    pictures: list[Tensor]
    labels: Tensor
    names: tuple[str, ...]  # all classes, the left-out ones too
    left_out: tuple[str, ...]


def is_left_out(label: int) -> bool:
    """Whether the photographs of a class of Caltech101 are kept out of training: every fourth class."""
    return label % _EVERY == _LEFT


def class_name(written: str) -> str:
    """The name that captions use for a folder's name of Caltech101."""
    return RENAMES.get(written, written).replace("_", " ")


def _picture(image: Image.Image) -> Tensor:
    factor = _STORED / min(image.size)
    if factor < 1:
        image = image.resize([round(factor * side) for side in image.size], Image.Resampling.BICUBIC)
    return pil_to_tensor(image)


def load_photos(root: Path) -> Photos:
    """The training photographs below `root`, in the layout of CoOp's DATASETS.md; CIFAR-10 (cifar10/cifar10_images.tar)
    is added where it is. Neither validation nor test pictures are opened, nor any picture of a left-out class.

    Raises InputError if Caltech101 is not there.
    """
    folder = root / FOLDER
    split = folder / SPLIT
    if not split.is_file():
        raise InputError(f"There is no {split}: give the folder that holds {FOLDER} (--root)")
    lists = json.loads(split.read_text(encoding="utf-8"))
    left_out = {class_name(name) for part in lists.values() for _, label, name in part if is_left_out(label)}
    names = tuple(FACTS)
    pictures, labels = [], []
    for file, label, written in lists["train"]:
        if not is_left_out(label):
            pictures.append(_picture(read_image(folder / IMAGES / file)))
            labels.append(names.index(class_name(written)))
    archive = root / "cifar10" / "cifar10_images.tar"
    if archive.is_file():
        with tarfile.open(archive) as tar:
            for member in tar:
                part, _, rest = member.name.partition("/")
                name = rest.partition("/")[0]
                if member.isfile() and part == "train" and name in FACTS and name not in left_out:
                    stream = tar.extractfile(member)
                    assert stream is not None
                    pictures.append(_picture(Image.open(io.BytesIO(stream.read())).convert("RGB")))
                    labels.append(names.index(name))
    return Photos(pictures, torch.tensor(labels), names, tuple(name for name in names if name in left_out))


def random_view(picture: Tensor, generator: torch.Generator) -> Tensor:
    """[3, SIDE, SIDE] in 0..1: a random part of the picture, half of the time mirrored, in slightly other light."""
    _, height, width = picture.shape
    draw = torch.rand(7, generator=generator).tolist()
    area, shape = 0.35 + 0.65 * draw[0], 1.35 ** (2 * draw[1] - 1)
    side = (area * min(height, width) ** 2) ** 0.5
    h, w = min(height, round(side * shape)), min(width, round(side / shape))
    top, left = int(draw[2] * (height - h + 1)), int(draw[3] * (width - w + 1))
    part = picture[None, :, top : top + h, left : left + w].float() / 255
    part = F.interpolate(part, size=(SIDE, SIDE), mode="bilinear", antialias=True)[0]
    if draw[4] < 0.5:
        part = part.flip(-1)
    return ((part - 0.5) * (0.8 + 0.4 * draw[5]) + 0.5 + 0.2 * (draw[6] - 0.5)).clamp(0, 1)
