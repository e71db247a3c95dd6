"""Country211 (Radford et al. 2021): the country in which a picture was taken, 211 classes."""

from __future__ import annotations

import os

from dassl.data.datasets import DATASET_REGISTRY, Datum
from dassl.utils import InputError
from dassl.utils.counted import counted

from .base import SplitDataset
from .class_names import COUNTRIES
from .reading.listing import class_folders, list_images
from .reading.splits import known_item


@DATASET_REGISTRY.register()
class Country211(SplitDataset):
    """Folders are two-letter country codes; class names are OpenAI's, in the sorted order of the codes."""

    dataset_dir = "country211"
    needs = dict.fromkeys(("train", "valid", "test"), "country211.tgz of github.com/openai/CLIP")
    sizes = (211, 31650, 10550, 21100)

    def load_items(self) -> tuple[list[Datum], list[Datum], list[Datum]]:
        train, val, test = (self.read_part(part) for part in ("train", "valid", "test"))
        return train, val, test

    def read_part(self, part: str) -> list[Datum]:
        base = self.require(part)
        folders = class_folders(base)
        if len(folders) != len(COUNTRIES):
            raise InputError(
                f"{base} has {counted(len(folders), 'folder')}, but Country211 has {len(COUNTRIES)}, whose names "
                "follow their order; fetch it again."
            )
        listing = list_images(base, folders)
        return [
            known_item(os.path.join(base, folder, file), label, COUNTRIES[label])
            for label, (folder, files) in enumerate(listing.items())
            for file in files
        ]
