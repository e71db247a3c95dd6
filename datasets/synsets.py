"""ImageNet and its variants: folders named by synset, class names in `classnames.txt`."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Mapping

from dassl.data.datasets import Datum
from dassl.utils import InputError, listdir_nohidden

from .base import SplitDataset
from .reading.listing import class_folders, list_images, one_name_each, read_lines
from .reading.splits import known_item

CLASSNAMES = "classnames.txt linked in CoOp's DATASETS.md"


def read_classnames(text_file: str) -> OrderedDict[str, str]:
    """folder -> class name; the lines are: folder, space, name (may hold spaces)."""
    pairs = []
    for line in read_lines(text_file):
        folder, _, name = line.partition(" ")
        if not name:
            raise InputError(f"{text_file}: {line!r} is not 'synset class name'; fetch the file again.")
        pairs.append((folder, name))
    return OrderedDict(one_name_each(pairs, text_file))


def synset_folders(image_dir: str, names: Mapping[str, str]) -> list[str]:
    """Sorted class folders, each with a name in `names`. InputError says what to do with a folder of bare images."""
    entries = listdir_nohidden(image_dir)
    if entries and not any(os.path.isdir(os.path.join(image_dir, entry)) for entry in entries[:1000]):
        raise InputError(
            f"{image_dir} holds {len(entries)} files but no synset folders; move each image into the folder of its "
            "class (n01440764 ...)."
        )
    folders = class_folders(image_dir)
    unknown = [folder for folder in folders if folder not in names]
    if unknown:
        raise InputError(
            f"{os.path.join(image_dir, unknown[0])} has no line in classnames.txt; take the folder out, or fetch "
            f"{CLASSNAMES}."
        )
    return folders


def synset_items(image_dir: str, names: Mapping[str, str], cache_file: str = "") -> list[Datum]:
    """Items of all class folders, label = position of the folder; folders and files sorted, unlike upstream, which
    takes the files as the file system gives them (its few-shot draws from ImageNet depend on that)."""
    listing = list_images(image_dir, synset_folders(image_dir, names), cache_file)
    return [
        known_item(f"{image_dir}/{folder}/{file}", label, names[folder])
        for label, (folder, files) in enumerate(listing.items())
        for file in files
    ]


class SynsetTestSet(SplitDataset):
    """A shifted test set for models trained on ImageNet, with its own copy of `classnames.txt`."""

    test_only = True
    train_on = "ImageNet (configs/datasets/imagenet.yaml)"

    def load_items(self) -> tuple[list[Datum], list[Datum], list[Datum]]:
        self.require_images()
        return [], [], self.read_data(read_classnames(self.require("classnames.txt")))

    def read_data(self, names: Mapping[str, str]) -> list[Datum]:
        return synset_items(self.image_dir, names)
