"""Oxford Flowers (Nilsback and Zisserman 2008): 102 flowers of the British Isles."""

from collections import defaultdict

from dassl.data.datasets import DATASET_REGISTRY, Datum

from .base import SplitDataset
from .reading.listing import look_up
from .reading.lists import read_json_object
from .reading.mat import mat_number, read_mat
from .reading.splits import make_items, split_groups

SITE = "www.robots.ox.ac.uk/~vgg/data/flowers/102"


@DATASET_REGISTRY.register()
class OxfordFlowers(SplitDataset):
    dataset_dir = "oxford_flowers"
    image_dir = "jpg"
    split_file = "split_zhou_OxfordFlowers.json"
    needs = {"jpg": f"102flowers.tgz of {SITE}"}
    split_needs = {
        "imagelabels.mat": f"the file of this name of {SITE}",
        "cat_to_name.json": "the file of this name linked in CoOp's DATASETS.md",
    }
    sizes = (102, 4093, 1633, 2463)

    def generate_split(self) -> tuple[list[Datum], list[Datum], list[Datum]]:
        """50/20/30 % of each class; classes in the order in which the label file first has them."""
        names_file = self.require("cat_to_name.json")
        names = read_json_object(names_file)
        records = defaultdict(list)
        for number, label in enumerate(read_mat(self.require("imagelabels.mat"), "labels"), start=1):
            label = mat_number(label, "imagelabels.mat")
            name = look_up(names, str(label), "class", names_file)
            records[label].append((f"image_{number:05d}.jpg", label - 1, name))
        groups = [make_items(group, self.image_dir, "imagelabels.mat") for group in records.values()]
        return split_groups((f"class {group[0].classname!r}", group) for group in groups)
