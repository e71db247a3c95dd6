"""SUN397 (Xiao et al. 2010): 397 scenes."""

from dassl.data.datasets import DATASET_REGISTRY, Datum

from .base import SplitDataset
from .reading.listing import line_numbers, look_up, read_lines
from .reading.splits import make_items, split_trainval

PARTITIONS = "Partitions.zip of vision.princeton.edu/projects/2010/SUN"


@DATASET_REGISTRY.register()
class SUN397(SplitDataset):
    dataset_dir = "sun397"
    image_dir = "SUN397"
    split_file = "split_zhou_SUN397.json"
    needs = {"SUN397": "SUN397.tar.gz of vision.princeton.edu/projects/2010/SUN"}
    split_needs = dict.fromkeys(("ClassName.txt", "Training_01.txt", "Testing_01.txt"), PARTITIONS)
    sizes = (397, 15880, 3970, 19850)

    def generate_split(self) -> tuple[list[Datum], list[Datum], list[Datum]]:
        path = self.require("ClassName.txt")
        labels = line_numbers([line.lstrip("/") for line in read_lines(path)], path)
        train, val = split_trainval(self.read_data(labels, "Training_01.txt"))
        return train, val, self.read_data(labels, "Testing_01.txt")

    def read_data(self, labels: dict[str, int], list_file: str) -> list[Datum]:
        """Items of a list; its lines are like `/a/abbey/sun_aaalbzqrimafwbiv.jpg`."""
        path = self.require(list_file)
        records = []
        for line in read_lines(path):
            folder = line.lstrip("/").rpartition("/")[0]
            records.append((line.lstrip("/"), look_up(labels, folder, "class", "ClassName.txt"), scene_name(folder)))
        return make_items(records, self.image_dir, path)


def scene_name(folder: str) -> str:
    """`a/apartment_building/outdoor` -> `outdoor apartment_building`: without the initial, the last part first."""
    return " ".join(reversed(folder.split("/")[1:]))
