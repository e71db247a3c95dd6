"""Food-101 (Bossard et al. 2014): 101 dishes."""

from dassl.data.datasets import DATASET_REGISTRY

from .base import SplitDataset


@DATASET_REGISTRY.register()
class Food101(SplitDataset):
    dataset_dir = "food-101"
    image_dir = "images"
    split_file = "split_zhou_Food101.json"
    needs = {"images": "food-101.tar.gz of data.vision.ee.ethz.ch/cvl/datasets_extra/food-101"}
    sizes = (101, 50500, 20200, 30300)
