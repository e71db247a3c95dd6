"""ImageNet (ILSVRC 2012): 1000 classes. The official validation images are both `val` and `test`."""

from __future__ import annotations

import os
from collections.abc import Mapping

from yacs.config import CfgNode

from dassl.data.datasets import DATASET_REGISTRY, Datum
from dassl.utils import InputError

from . import synsets
from .base import SplitDataset


@DATASET_REGISTRY.register()
class ImageNet(SplitDataset):
    """No `val` sample is drawn. Listing 1.3 million files takes long, so the names are kept in `listing_*.json`;
    only folders that changed since are listed again (upstream's preprocessed.pkl is not read)."""

    dataset_dir = "imagenet"
    image_dir = "images"
    needs = {
        "images/train": "ILSVRC2012_img_train.tar of image-net.org (login), one folder per synset",
        "images/val": "ILSVRC2012_img_val.tar of image-net.org (login), sorted into one folder per synset",
        "classnames.txt": synsets.CLASSNAMES,
    }
    sizes = (1000, 1281167, 0, 50000)

    # Dataset files written for CoOp use this as an attribute of the class.
    read_classnames = staticmethod(synsets.read_classnames)

    def __init__(self, cfg: CfgNode) -> None:
        super().__init__(cfg)
        self._val = self._test

    def load_items(self) -> tuple[list[Datum], list[Datum], list[Datum]]:
        names = self.read_classnames(self.require("classnames.txt"))
        train, test = self.read_data(names, "train"), self.read_data(names, "val")
        named = [{item.label: item.classname for item in items} for items in (train, test)]
        if named[0] != named[1]:
            raise InputError(
                f"{self.image_dir}/train and {self.image_dir}/val have different class folders ({len(named[0])} and "
                f"{len(named[1])}), so their labels would disagree; unpack both completely."
            )
        return train, [], test

    def read_data(self, classnames: Mapping[str, str], split_dir: str) -> list[Datum]:
        """Items of `train` or `val`."""
        folder = self.require(f"images/{split_dir}")
        return synsets.synset_items(folder, classnames, os.path.join(self.dataset_dir, f"listing_{split_dir}.json"))
