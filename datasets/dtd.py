"""Describable Textures (Cimpoi et al. 2014): 47 adjectives for textures."""

from dassl.data.datasets import DATASET_REGISTRY

from .base import SplitDataset
from .reading import splits


@DATASET_REGISTRY.register()
class DescribableTextures(SplitDataset):
    dataset_dir = "dtd"
    image_dir = "images"
    split_file = "split_zhou_DescribableTextures.json"
    needs = {"images": "dtd-r1.0.1.tar.gz of www.robots.ox.ac.uk/~vgg/data/dtd"}
    sizes = (47, 2820, 1128, 1692)

    # Dataset files written for CoOp use this as an attribute of the class.
    read_and_split_data = staticmethod(splits.read_and_split_data)
