"""The test sets of TTC and similar papers: six of CoOp's datasets with their publishers' or torchvision's splits.

Their images differ from those of CoOp's splits (all 8,677 of Caltech101, not 2,465), so they have names of their own
and never share a column of a table with these. All of them are for testing only.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from dassl.data.datasets import DATASET_REGISTRY, Datum

from .base import SplitDataset
from .caltech101 import Caltech101
from .dtd import DescribableTextures
from .eurosat import EuroSAT
from .food101 import Food101
from .oxford_flowers import SITE, OxfordFlowers
from .reading.listing import class_folders, list_images, look_up, read_lines
from .reading.lists import read_json_object
from .reading.mat import mat_number, read_mat
from .reading.splits import known_item, make_items
from .sun397 import SUN397, scene_name

OFFICIAL = "is part of the publisher's archive"


class WholeFolder(SplitDataset):
    """A test set of all images in the class folders; labels follow the order of `folders`."""

    split_file = ""
    test_only = True

    def folders(self) -> Sequence[str]:
        """Class folders below `image_dir`, sorted."""
        return [name for name in class_folders(self.image_dir) if name not in self.ignored]

    def name_of(self, folder: str) -> str:
        return self.renames.get(folder, folder.replace("_", " "))

    def load_items(self) -> tuple[list[Datum], list[Datum], list[Datum]]:
        self.require_images()
        listing = list_images(self.image_dir, self.folders())
        items = [
            known_item(f"{self.image_dir}/{folder}/{file}", label, self.name_of(folder))
            for label, (folder, files) in enumerate(listing.items())
            for file in files
        ]
        return [], [], items


@DATASET_REGISTRY.register()
class Caltech101TTC(WholeFolder):
    """All images of 101 classes: faces twice, named as in CLIP's prompts; backgrounds not at all."""

    dataset_dir, image_dir, needs = Caltech101.dataset_dir, Caltech101.image_dir, Caltech101.needs
    sizes = (101, 8677, 0, 8677)
    ignored = ("BACKGROUND_Google",)
    renames = {**Caltech101.renames, "Faces": "off-center face", "Faces_easy": "centered face"}
    train_on = "CoOp's split (configs/datasets/caltech101.yaml)"


@DATASET_REGISTRY.register()
class EuroSATTTC(WholeFolder):
    """All images; class names as CoOp has them."""

    dataset_dir, image_dir, needs = EuroSAT.dataset_dir, EuroSAT.image_dir, EuroSAT.needs
    sizes = (10, 27000, 0, 27000)
    renames = EuroSAT.renames
    train_on = "CoOp's split (configs/datasets/eurosat.yaml)"


@DATASET_REGISTRY.register()
class SUN397TTC(WholeFolder):
    """All images of the 397 scenes of ClassName.txt; class names as CoOp has them."""

    dataset_dir, image_dir, needs = SUN397.dataset_dir, SUN397.image_dir, SUN397.needs
    split_needs = {"ClassName.txt": SUN397.split_needs["ClassName.txt"]}
    sizes = (397, 108754, 0, 108754)
    train_on = "CoOp's split (configs/datasets/sun397.yaml)"

    def folders(self) -> Sequence[str]:
        """As ClassName.txt lists them, in the archive of the images or beside them; scenes may lie below a scene."""
        inside = os.path.join(self.image_dir, "ClassName.txt")
        path = inside if os.path.isfile(inside) else self.require("ClassName.txt")
        return [line.lstrip("/") for line in read_lines(path)]

    def name_of(self, folder: str) -> str:
        return scene_name(folder)


class ListedSplit(SplitDataset):
    """A test set of the images in an official list."""

    split_file = ""
    test_only = True

    def records(self) -> Iterable[Sequence]:
        """[relative path, label, class name] of each image."""
        raise NotImplementedError

    def load_items(self) -> tuple[list[Datum], list[Datum], list[Datum]]:
        self.require_images()
        return [], [], make_items(self.records(), self.image_dir, next(iter(self.lists())))

    def lists(self) -> list[str]:
        """The files that list the images, absolute. InputError if one is missing."""
        return [self.require(name) for name in self.needs if not os.path.isdir(os.path.join(self.dataset_dir, name))]


class ByLines(ListedSplit):
    """A list with lines CLASS/IMAGE; labels by the sorted names of the class folders."""

    suffix = ""

    def records(self) -> Iterable[Sequence]:
        labels = {folder: label for label, folder in enumerate(class_folders(self.image_dir))}
        (path,) = self.lists()
        for line in read_lines(path):
            folder = line.partition("/")[0]
            yield line + self.suffix, look_up(labels, folder, "class", path), folder.replace("_", " ")


@DATASET_REGISTRY.register()
class Food101TTC(ByLines):
    """The publisher's 250 test images per class."""

    dataset_dir, image_dir = Food101.dataset_dir, Food101.image_dir
    needs = {**Food101.needs, "meta/test.txt": OFFICIAL}
    suffix = ".jpg"
    sizes = (101, 25250, 0, 25250)
    train_on = "CoOp's split (configs/datasets/food101.yaml)"


@DATASET_REGISTRY.register()
class DescribableTexturesTTC(ByLines):
    """The first of the publisher's ten test partitions."""

    dataset_dir, image_dir = DescribableTextures.dataset_dir, DescribableTextures.image_dir
    needs = {**DescribableTextures.needs, "labels/test1.txt": OFFICIAL}
    sizes = (47, 1880, 0, 1880)
    train_on = "CoOp's split (configs/datasets/dtd.yaml)"


@DATASET_REGISTRY.register()
class OxfordFlowersTTC(ListedSplit):
    """The publisher's test images (`tstid` of setid.mat), which are more than its training images."""

    dataset_dir, image_dir = OxfordFlowers.dataset_dir, OxfordFlowers.image_dir
    needs = {**OxfordFlowers.needs, **OxfordFlowers.split_needs, "setid.mat": f"the file of this name of {SITE}"}
    sizes = (102, 6149, 0, 6149)
    train_on = "CoOp's split (configs/datasets/oxford_flowers.yaml)"

    def records(self) -> Iterable[Sequence]:
        names_file = self.require("cat_to_name.json")
        names = read_json_object(names_file)
        labels = [mat_number(x, "imagelabels.mat") for x in read_mat(self.require("imagelabels.mat"), "labels")]
        numbers = [mat_number(x, "setid.mat") for x in read_mat(self.require("setid.mat"), "tstid")]
        kinds = sorted({labels[number - 1] for number in numbers})
        for number in numbers:
            label = labels[number - 1]
            yield f"image_{number:05d}.jpg", kinds.index(label), look_up(names, str(label), "class", names_file)
