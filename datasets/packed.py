"""Base of datasets that are published as arrays: their images are written once as PNG files, which loaders then read.

The arrays are read by torchvision's class, which compares their checksums before it opens them.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from typing import ClassVar

import numpy as np
from filelock import FileLock
from PIL import Image

from dassl.data.datasets import Datum
from dassl.utils import InputError, MissingFileError, listdir_nohidden, seeded

from .base import GENERATION_SEED, SplitDataset
from .reading.splits import known_item, split_trainval

logger = logging.getLogger(__name__)

Pictures = Iterator[tuple[np.ndarray, int]]  # uint8 [h, w, 3], label
VAL_SHARE = 0.1  # of the official training part, where there is no validation part


class PackedDataset(SplitDataset):
    """A subclass defines `archive`, `names` and `pictures(part)`.

    Images go to images/<part>/<label>_<class>/<number>.png, where the number is the position in the official part.
    Without an official validation part, a tenth of each class is drawn for validation, the same in every run: there is
    no published split.
    """

    image_dir = "images"
    archive: str = ""  # the published folder, in the dataset's folder or beside it
    site: str = ""
    parts: ClassVar[tuple[str, ...]] = ("train", "test")

    def names(self) -> list[str]:
        """The class names in the order of the labels; asked after the pictures of a part were opened."""
        raise NotImplementedError

    def pictures(self, part: str, root: str) -> Pictures:
        """The pictures of an official part. root: the folder that holds `archive`. Raises RuntimeError as torchvision
        does where files are missing or damaged."""
        raise NotImplementedError

    def load_items(self) -> tuple[list[Datum], list[Datum], list[Datum]]:
        self.unpack()
        found = {part: self.read_part(part) for part in self.parts}
        if "val" in found:
            return found["train"], found["val"], found["test"]
        with seeded(GENERATION_SEED):
            train, val = split_trainval(found["train"], VAL_SHARE)
        return train, val, found["test"]

    def unpack(self) -> None:
        """Writes the PNG files if they are not there; a part that is there is complete."""
        missing = [part for part in self.parts if not os.path.isdir(os.path.join(self.image_dir, part))]
        if not missing:
            return
        homes = (self.dataset_dir, os.path.dirname(self.dataset_dir))
        root = next((home for home in homes if os.path.isdir(os.path.join(home, self.archive))), None)
        name = type(self).__name__
        if root is None:
            raise MissingFileError(
                f"{name}: neither the pictures {self.image_dir} nor the published folder "
                f"{os.path.join(self.dataset_dir, self.archive)} is there ({self.site}); python -m datasets prepare "
                f"{name} helps."
            )
        os.makedirs(self.image_dir, exist_ok=True)
        with FileLock(os.path.join(self.dataset_dir, ".unpacking.lock")):
            for part in missing:
                if not os.path.isdir(os.path.join(self.image_dir, part)):  # else another process has written it
                    self._write(part, root)

    def _write(self, part: str, root: str) -> None:
        logger.info(
            "%s: writing the pictures of %s once, as PNG files in %s", type(self).__name__, part, self.image_dir
        )
        aside = os.path.join(self.image_dir, f".{part}")
        shutil.rmtree(aside, ignore_errors=True)
        try:
            folders: dict[int, str] = {}
            for i, (picture, label) in enumerate(self.pictures(part, root)):
                if label not in folders:
                    folders[label] = os.path.join(aside, f"{label:03d}_{self.names()[label]}")
                    os.makedirs(folders[label])
                Image.fromarray(picture).save(os.path.join(folders[label], f"{i:06d}.png"), compress_level=1)
        except (RuntimeError, ValueError, IndexError, OSError) as error:
            shutil.rmtree(aside, ignore_errors=True)
            reason = " ".join(str(error).split())[:200]
            raise InputError(
                f"{type(self).__name__}: {os.path.join(root, self.archive)} cannot be read ({reason}); fetch it again: "
                f"{self.site}."
            ) from error
        if not folders:
            raise InputError(f"{type(self).__name__}: {os.path.join(root, self.archive)} holds no pictures of {part}.")
        os.replace(aside, os.path.join(self.image_dir, part))

    def read_part(self, part: str) -> list[Datum]:
        """The items of a part in its official order. Raises InputError for what is no class folder there."""
        base, found = os.path.join(self.image_dir, part), []
        for folder in listdir_nohidden(base, sort=True):
            label, _, name = folder.partition("_")
            if not label.isdecimal() or not name or not os.path.isdir(os.path.join(base, folder)):
                raise InputError(
                    f"{type(self).__name__}: {os.path.join(base, folder)} is no class folder; these are named by label "
                    "and class, as 000_NAME. Rename it, or remove it."
                )
            found += [(file, int(label), name, folder) for file in listdir_nohidden(os.path.join(base, folder))]
        if not found:
            raise InputError(f"{type(self).__name__}: {base} holds no pictures; remove it, and they are written anew.")
        return [
            known_item(os.path.join(base, folder, file), label, name) for file, label, name, folder in sorted(found)
        ]
