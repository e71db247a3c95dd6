"""FGVC-Aircraft (Maji et al. 2013): 100 variants of aircraft, in the authors' own split."""

import os

from dassl.data.datasets import DATASET_REGISTRY, Datum

from .base import SplitDataset
from .reading.listing import line_numbers, look_up, read_lines
from .reading.splits import make_items

ARCHIVE = "the folder data of fgvc-aircraft-2013b.tar.gz, www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft"


@DATASET_REGISTRY.register()
class FGVCAircraft(SplitDataset):
    dataset_dir = "fgvc_aircraft"
    image_dir = "images"
    needs = dict.fromkeys(
        (
            "images",
            "variants.txt",
            "images_variant_train.txt",
            "images_variant_val.txt",
            "images_variant_test.txt",
        ),
        ARCHIVE,
    )
    sizes = (100, 3334, 3333, 3333)

    def load_items(self) -> tuple[list[Datum], list[Datum], list[Datum]]:
        self.require_images()
        labels = line_numbers(read_lines(path := self.require("variants.txt")), path)
        train, val, test = (self.read_data(labels, f"images_variant_{part}.txt") for part in ("train", "val", "test"))
        return train, val, test

    def read_data(self, labels: dict[str, int], list_file: str) -> list[Datum]:
        """Items of a list; its lines are: image number, space, variant (may hold spaces)."""
        path = self.require(list_file)
        records = []
        for line in read_lines(path):
            image, _, name = line.partition(" ")
            records.append((image + ".jpg", look_up(labels, name, "variant", "variants.txt"), name))
        return make_items(records, self.image_dir, os.path.basename(path))
