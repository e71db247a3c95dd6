"""Oxford-IIIT Pet (Parkhi et al. 2012): 37 breeds of cats and dogs."""

import os

from dassl.data.datasets import DATASET_REGISTRY, Datum
from dassl.utils import InputError

from .base import SplitDataset
from .reading import splits
from .reading.listing import read_lines
from .reading.lists import whole_number

ANNOTATIONS = "annotations.tar.gz of www.robots.ox.ac.uk/~vgg/data/pets"


@DATASET_REGISTRY.register()
class OxfordPets(SplitDataset):
    dataset_dir = "oxford_pets"
    image_dir = "images"
    split_file = "split_zhou_OxfordPets.json"
    needs = {"images": "images.tar.gz of www.robots.ox.ac.uk/~vgg/data/pets"}
    split_needs = {"annotations/trainval.txt": ANNOTATIONS, "annotations/test.txt": ANNOTATIONS}
    sizes = (37, 2944, 736, 3669)

    # Dataset files written for CoOp use these as attributes of the class.
    read_split = staticmethod(splits.read_split)
    save_split = staticmethod(splits.save_split)
    split_trainval = staticmethod(splits.split_trainval)
    subsample_classes = staticmethod(splits.subsample_classes)

    def generate_split(self) -> tuple[list[Datum], list[Datum], list[Datum]]:
        train, val = splits.split_trainval(self.read_data("annotations/trainval.txt"))
        return train, val, self.read_data("annotations/test.txt")

    def read_data(self, list_file: str) -> list[Datum]:
        """Items of an annotation list; its lines are: image name, class from 1, species, breed of the species."""
        path = self.require(list_file)
        records = []
        for line in read_lines(path):
            fields = line.split()
            if len(fields) != 4 or whole_number(fields[1]) is None:
                raise InputError(f"{path}: {line!r} is not 'name class species breed'; fetch the file again.")
            breed = fields[0].rpartition("_")[0].lower()
            records.append((fields[0] + ".jpg", int(fields[1]) - 1, breed))
        return splits.make_items(records, self.image_dir, os.path.basename(path))
