"""ImageNet-R (Hendrycks et al. 2021): renditions (art, toys, cartoons ...) of 200 of ImageNet's classes."""

from dassl.data.datasets import DATASET_REGISTRY

from .synsets import CLASSNAMES, SynsetTestSet


@DATASET_REGISTRY.register()
class ImageNetR(SynsetTestSet):
    dataset_dir = "imagenet-rendition"
    image_dir = "imagenet-r"
    needs = {"imagenet-r": "imagenet-r.tar of github.com/hendrycks/imagenet-r", "classnames.txt": CLASSNAMES}
    sizes = (200, 30000, 0, 30000)
