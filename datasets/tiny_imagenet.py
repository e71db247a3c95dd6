"""tiny-ImageNet (Stanford CS231n): 200 of ImageNet's classes at 64 pixels. Its validation part is the test set."""

from __future__ import annotations

import os

from dassl.data.datasets import DATASET_REGISTRY, Datum
from dassl.utils import InputError, seeded

from .base import GENERATION_SEED, SplitDataset
from .class_names import TINY_IMAGENET
from .reading.listing import list_images, look_up, read_lines
from .reading.splits import known_item, split_trainval

SITE = "tiny-imagenet-200.zip of cs231n.stanford.edu"


@DATASET_REGISTRY.register()
class TinyImageNet(SplitDataset):
    """The official test part has no labels. Labels follow the sorted synsets; a tenth of each class of the training
    part is for validation, the same in every run: no published split has it."""

    dataset_dir = "tiny-imagenet-200"
    other_dirs = ("tiny_imagenet",)
    needs = dict.fromkeys(("train", "val", "wnids.txt", "val/val_annotations.txt"), SITE)
    sizes = (200, 90000, 10000, 10000)

    def load_items(self) -> tuple[list[Datum], list[Datum], list[Datum]]:
        synsets = sorted(read_lines(self.require("wnids.txt")))
        if unknown := [synset for synset in synsets if synset not in TINY_IMAGENET]:
            raise InputError(
                f"{self.require('wnids.txt')}: {unknown[0]!r} is no class of tiny-ImageNet; fetch it again."
            )
        labels = {synset: label for label, synset in enumerate(synsets)}
        items = []
        for synset in synsets:
            folder = os.path.join(self.require("train"), synset)
            if not os.path.isdir(os.path.join(folder, "images")):
                raise InputError(f"{folder} holds no folder images; fetch tiny-ImageNet again: {SITE}.")
            files = list_images(folder, ["images"])["images"]
            own = (os.path.join(folder, "images", file) for file in files)
            items += [known_item(path, labels[synset], TINY_IMAGENET[synset]) for path in own]
        with seeded(GENERATION_SEED):
            train, val = split_trainval(items, 0.1)
        return train, val, self.read_val(labels)

    def read_val(self, labels: dict[str, int]) -> list[Datum]:
        """The items of val_annotations.txt: file, synset, and a box that is not read."""
        file, found = self.require("val/val_annotations.txt"), []
        for line in read_lines(file):
            name, _, rest = line.partition("\t")
            synset = rest.partition("\t")[0]
            label = look_up(labels, synset, "synset", file)
            found.append(
                known_item(os.path.join(self.dataset_dir, "val", "images", name), label, TINY_IMAGENET[synset])
            )
        return found
