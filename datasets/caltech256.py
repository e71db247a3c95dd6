"""Caltech-256 (Griffin et al. 2007): 256 object classes and a class of clutter. All images are for testing."""

from __future__ import annotations

import os

from dassl.data.datasets import DATASET_REGISTRY, Datum
from dassl.utils import InputError

from .base import SplitDataset
from .reading.listing import class_folders, list_images
from .reading.splits import known_item


@DATASET_REGISTRY.register()
class Caltech256(SplitDataset):
    """Folders are NNN.name; "-" in a name stands for a space, and "-101" says that Caltech-101 has the class, too."""

    dataset_dir = "caltech256"
    image_dir = "256_ObjectCategories"
    needs = {"256_ObjectCategories": "256_ObjectCategories.tar of data.caltech.edu/records/nyy15-4j048"}
    sizes = (257, 30607, 0, 30607)
    test_only = True
    train_on = "ImageNet (configs/datasets/imagenet.yaml)"

    def load_items(self) -> tuple[list[Datum], list[Datum], list[Datum]]:
        self.require_images()
        folders = class_folders(self.image_dir)
        if odd := [folder for folder in folders if not folder.partition(".")[0].isdigit()]:
            raise InputError(f"{os.path.join(self.image_dir, odd[0])} is no folder NNN.name; take it out.")
        listing = list_images(self.image_dir, folders)
        items = [
            known_item(f"{self.image_dir}/{folder}/{file}", label, class_name(folder))
            for label, (folder, files) in enumerate(listing.items())
            for file in files
            if file.lower().endswith(".jpg")
        ]
        return [], [], items


def class_name(folder: str) -> str:
    """ "003.backpack-101" -> "backpack"."""
    return folder.partition(".")[2].removesuffix("-101").replace("-", " ").lower()
