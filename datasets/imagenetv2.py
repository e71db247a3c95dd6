"""ImageNetV2 (Recht et al. 2019), matched frequency: ten new images of each ImageNet class."""

from __future__ import annotations

from collections.abc import Mapping

from dassl.data.datasets import DATASET_REGISTRY, Datum
from dassl.utils import InputError

from .reading.listing import class_folders, list_images
from .reading.lists import whole_number
from .reading.splits import make_items
from .synsets import CLASSNAMES, SynsetTestSet


@DATASET_REGISTRY.register()
class ImageNetV2(SynsetTestSet):
    dataset_dir = "imagenetv2"
    image_dir = "imagenetv2-matched-frequency-format-val"
    needs = {
        "imagenetv2-matched-frequency-format-val": "imagenetv2-matched-frequency.tar.gz of "
        "huggingface.co/datasets/vaishaal/ImageNetV2",
        "classnames.txt": CLASSNAMES,
    }
    sizes = (1000, 10000, 0, 10000)

    def read_data(self, names: Mapping[str, str]) -> list[Datum]:
        """Folders are called 0 to 999: the label, and the line of classnames.txt."""
        by_label = dict(enumerate(names.values()))
        folders = class_folders(self.image_dir)
        if list(names) != sorted(names) or len(names) > len(folders):
            raise InputError(
                f"{self.dataset_dir}/classnames.txt must have a line for each of the {len(folders)} folders, which are "
                f"called by line, in the order of synsets; it has {len(names)}, or another order: fetch {CLASSNAMES}."
            )
        wrong = [folder for folder in folders if whole_number(folder) is None or int(folder) not in by_label]
        if wrong:
            raise InputError(
                f"{self.image_dir}/{wrong[0]} is not one of the folders 0 to {len(by_label) - 1}, for each of which "
                "classnames.txt has a line; unpack the archive again."
            )
        listing = list_images(self.image_dir, sorted(folders, key=int))
        records = [
            (f"{folder}/{file}", int(folder), by_label[int(folder)])
            for folder, files in listing.items()
            for file in files
        ]
        return make_items(records, self.image_dir, self.image_dir)
