"""Food-101N (Lee et al. 2018): about 310,000 web images of Food-101's classes, a fifth of them in the wrong one."""

from __future__ import annotations

import logging
import os

from dassl.config.domains import choice
from dassl.data.datasets import DATASET_REGISTRY, Datum
from dassl.utils import InputError

from .base import SplitDataset
from .food101 import Food101
from .reading.listing import look_up, read_lines
from .reading.splits import make_items

logger = logging.getLogger(__name__)
SITE = "Food-101N_release.zip of kuanghuei.github.io/Food-101N"


@DATASET_REGISTRY.register()
class Food101N(SplitDataset):
    """Trains on Food-101N, tests on Food-101, which must be there too; there is no validation set.

    DATASET.FOOD101N.TEST: "coop" is the test part of CoOp's split (30,300 images), "official" the authors' own list
    (25,250). Both are in use, and the numbers differ.
    """

    dataset_dir = "food-101n"
    other_dirs = ("food101n", "food-101N", "Food-101N_release")
    image_dir = "images"
    needs = {
        "images": SITE,
        "meta/classes.txt": SITE,
        "meta/imagelist.tsv": SITE,
        "../food-101": "Food-101, the test set (python -m datasets prepare Food101)",
    }
    sizes = (101, 310009, 0, 30300)
    real_noise = True  # see datasets/noise/real_noise.py
    config_defaults = {"DATASET.FOOD101N.TEST": "coop"}
    config_domains = {"DATASET.FOOD101N.TEST": choice("coop", "official")}

    def load_items(self) -> tuple[list[Datum], list[Datum], list[Datum]]:
        self.require_images()
        tests = {"coop": self.coop_test, "official": self.official_test}
        kind = self.setting("DATASET.FOOD101N.TEST")
        if kind not in tests:
            raise InputError(f'DATASET.FOOD101N.TEST is {kind!r}, but must be "coop" or "official".')
        test = tests[kind]()
        labels = {item.classname: item.label for item in test}
        names = read_lines(self.require("meta/classes.txt"))[1:]  # the first line is a header
        if set(names) != set(labels):
            odd = sorted(set(names) ^ set(labels))[0]
            raise InputError(f"class {odd!r} is in only one of {self.dataset_dir} and Food-101; fetch both again.")
        records = []
        for line in read_lines(self.require("meta/imagelist.tsv"))[1:]:
            name = line.partition("/")[0]
            records.append((line, look_up(labels, name, "class", "Food-101"), name))
        return make_items(records, self.image_dir, "imagelist.tsv"), [], test

    def coop_test(self) -> list[Datum]:
        cfg = self.cfg.clone()
        cfg.defrost()
        cfg.DATASET.NUM_SHOTS, cfg.DATASET.SUBSAMPLE_CLASSES = -1, "all"
        return Food101(cfg).test

    def official_test(self) -> list[Datum]:
        folder = Food101.find_dir(self.cfg.DATASET.ROOT)
        Food101.ensure(folder)
        path = os.path.join(folder, "meta", "test.txt")
        images = read_lines(path)
        names = sorted({image.partition("/")[0] for image in images})
        labels = {name: label for label, name in enumerate(names)}
        records = [(f"{image}.jpg", labels[name], name) for image in images for name in [image.partition("/")[0]]]
        return make_items(records, os.path.join(folder, Food101.image_dir), path)

    def verified(self) -> dict[str, bool]:
        """Image path below `image_dir` -> whether its class is right, for the images that people verified.

        An image that `imagelist.tsv` has under another class than the verified one is left out.
        """
        listed = set(read_lines(self.require("meta/imagelist.tsv"))[1:])
        marks = {}
        for name in ("verified_train.tsv", "verified_val.tsv"):
            for line in read_lines(self.require(f"meta/{name}"))[1:]:
                image, _, mark = line.partition("\t")
                if image in listed:
                    marks[image] = mark == "1"
        return marks

    def _compare_sizes(self, train: list[Datum], val: list[Datum], test: list[Datum]) -> None:
        if self.setting("DATASET.FOOD101N.TEST") == "official":
            self.sizes = (*self.sizes[:3], 25250)
        super()._compare_sizes(train, val, test)
