"""ImageNet-Sketch (Wang et al. 2019): black and white sketches of ImageNet's classes."""

from dassl.data.datasets import DATASET_REGISTRY

from .synsets import CLASSNAMES, SynsetTestSet


@DATASET_REGISTRY.register()
class ImageNetSketch(SynsetTestSet):
    dataset_dir = "imagenet-sketch"
    image_dir = "images"
    needs = {"images": "the folder sketch of github.com/HaohanWang/ImageNet-Sketch", "classnames.txt": CLASSNAMES}
    sizes = (1000, 50889, 0, 50889)
