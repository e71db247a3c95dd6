"""Caltech101 (Fei-Fei et al. 2004): 100 object classes; the class of faces appears once, backgrounds not at all."""

from dassl.data.datasets import DATASET_REGISTRY

from .base import SplitDataset


@DATASET_REGISTRY.register()
class Caltech101(SplitDataset):
    dataset_dir = "caltech-101"
    image_dir = "101_ObjectCategories"
    split_file = "split_zhou_Caltech101.json"
    needs = {
        "101_ObjectCategories": "101_ObjectCategories.tar.gz in caltech-101.zip of data.caltech.edu/records/mzrjq-6wc02"
    }
    sizes = (100, 4128, 1649, 2465)
    ignored = ("BACKGROUND_Google", "Faces_easy")
    renames = {"airplanes": "airplane", "Faces": "face", "Leopards": "leopard", "Motorbikes": "motorbike"}
