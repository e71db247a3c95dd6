"""Mini-WebVision (Li et al. 2017; Jiang et al. 2018): WebVision 1.0's Google images of ImageNet's first 50 classes."""

from __future__ import annotations

import os

from dassl.config.domains import choice
from dassl.data.datasets import DATASET_REGISTRY, Datum
from dassl.utils import InputError

from .base import SplitDataset
from .imagenet import ImageNet
from .reading.listing import read_lines
from .reading.lists import whole_number
from .reading.splits import make_items
from .synsets import read_classnames, synset_items

CLASSES = 50
SITE = "WebVision 1.0 of data.vision.ee.ethz.ch/cvl/webvision (the images resized to 256 pixels suffice)"
TESTS = ("webvision_val", "ilsvrc12_val")


@DATASET_REGISTRY.register()
class WebVisionMini(SplitDataset):
    """Labels follow ILSVRC12's sorted synsets, so one model is tested on two sets, chosen by DATASET.WEBVISION.TEST:
    "webvision_val", or "ilsvrc12_val", the first 50 folders of `imagenet/images/val`. There is no validation set.
    """

    dataset_dir = "webvision"
    needs = {
        "google": SITE,
        "val_images_256": SITE,
        "info/train_filelist_google.txt": "info.tar.gz of " + SITE,
        "info/val_filelist.txt": "info.tar.gz of " + SITE,
        "../imagenet/classnames.txt": ImageNet.needs["classnames.txt"],
    }
    sizes = (CLASSES, 65944, 0, 2500)
    real_noise = True  # see datasets/noise/real_noise.py
    config_defaults = {"DATASET.WEBVISION.TEST": "webvision_val"}
    config_domains = {"DATASET.WEBVISION.TEST": choice(*TESTS)}

    def load_items(self) -> tuple[list[Datum], list[Datum], list[Datum]]:
        kind = self.setting("DATASET.WEBVISION.TEST")
        if kind not in TESTS:
            raise InputError(f'DATASET.WEBVISION.TEST is {kind!r}, but must be "{TESTS[0]}" or "{TESTS[1]}".')
        path = self.require("../imagenet/classnames.txt")
        by_synset = read_classnames(path)
        synsets = sorted(by_synset)[:CLASSES]
        if len(synsets) < CLASSES:
            raise InputError(f"{path} has only {len(synsets)} classes, but {CLASSES} are needed; fetch it again.")
        names = [by_synset[synset] for synset in synsets]
        train = self.read_data("info/train_filelist_google.txt", "", names)
        if kind == "webvision_val":
            test = self.read_data("info/val_filelist.txt", self.validation_folder(), names)
        else:
            test = self.ilsvrc12(by_synset, synsets)
        return train, [], test

    def read_data(self, list_file: str, folder: str, names: list[str]) -> list[Datum]:
        """Items of the first classes in a list; its lines are: image below `folder`, space, label."""
        path = self.require(list_file)
        records = []
        for line in read_lines(path):
            image, _, label = line.rpartition(" ")
            number = whole_number(label)
            if number is None or number < 0 or not image:
                raise InputError(f"{path}: {line!r} is not 'image label'; fetch the file again.")
            if number < CLASSES:
                records.append((os.path.join(folder, image), number, names[number]))
        return make_items(records, self.image_dir, path)

    def validation_folder(self) -> str:
        """The folder of the validation images, whose name differs between the original and the resized release."""
        original = os.path.isdir(os.path.join(self.dataset_dir, "val_images"))
        if original and not os.path.isdir(os.path.join(self.dataset_dir, "val_images_256")):
            return "val_images"
        self.require("val_images_256")
        return "val_images_256"

    def ilsvrc12(self, names: dict[str, str], synsets: list[str]) -> list[Datum]:
        folder = os.path.join(ImageNet.find_dir(self.cfg.DATASET.ROOT), "images", "val")
        if not os.path.isdir(folder):
            raise InputError(f"ilsvrc12_val needs {folder}, which comes from {ImageNet.needs['images/val']}.")
        items = [item for item in synset_items(folder, names) if item.label < CLASSES]
        found = {item.label: item.classname for item in items}
        if found != {label: names[synset] for label, synset in enumerate(synsets)}:
            raise InputError(f"{folder} does not begin with the folders {synsets[0]} to {synsets[-1]}; complete it.")
        return items
