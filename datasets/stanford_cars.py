"""Stanford Cars (Krause et al. 2013): 196 models by make, type and year."""

from dassl.data.datasets import DATASET_REGISTRY, Datum

from .base import SplitDataset
from .reading.listing import look_up
from .reading.mat import mat_number, read_mat
from .reading.splits import make_items, split_trainval

SITE = "ai.stanford.edu/~jkrause/cars, which no longer serves it: use a copy of it, e.g. on Kaggle"


@DATASET_REGISTRY.register()
class StanfordCars(SplitDataset):
    dataset_dir = "stanford_cars"
    split_file = "split_zhou_StanfordCars.json"  # its paths begin with cars_train/ and cars_test/
    needs = {"cars_train": f"cars_train.tgz of {SITE}", "cars_test": f"cars_test.tgz of {SITE}"}
    split_needs = {
        "devkit/cars_train_annos.mat": f"car_devkit.tgz of {SITE}",
        "devkit/cars_meta.mat": f"car_devkit.tgz of {SITE}",
        "cars_test_annos_withlabels.mat": f"the file of this name of {SITE}",
    }
    sizes = (196, 6509, 1635, 8041)

    def require_images(self) -> None:
        for folder in self.needs:
            self.require(folder)

    def generate_split(self) -> tuple[list[Datum], list[Datum], list[Datum]]:
        names = [str(name) for name in read_mat(self.require("devkit/cars_meta.mat"), "class_names")]
        train, val = split_trainval(self.read_data("cars_train", "devkit/cars_train_annos.mat", names))
        return train, val, self.read_data("cars_test", "cars_test_annos_withlabels.mat", names)

    def read_data(self, folder: str, annotations: str, names: list[str]) -> list[Datum]:
        """Items of an annotation file, whose classes count from 1."""
        path = self.require(annotations)
        records, by_number = [], dict(enumerate(names, start=1))
        for car in read_mat(path, "annotations"):
            number = mat_number(car["class"], path)
            name = look_up(by_number, number, "class", "devkit/cars_meta.mat")
            records.append((f"{folder}/{car['fname']}", number - 1, year_first(name)))
        return make_items(records, self.image_dir, path)


def year_first(name: str) -> str:
    """`Audi TTS Coupe 2012` -> `2012 Audi TTS Coupe`."""
    *words, year = name.split(" ")
    return " ".join([year, *words])
