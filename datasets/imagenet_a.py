"""ImageNet-A (Hendrycks et al. 2021): natural images that mislead classifiers, of 200 of ImageNet's classes."""

from dassl.data.datasets import DATASET_REGISTRY

from .synsets import CLASSNAMES, SynsetTestSet


@DATASET_REGISTRY.register()
class ImageNetA(SynsetTestSet):
    dataset_dir = "imagenet-adversarial"
    image_dir = "imagenet-a"
    needs = {"imagenet-a": "imagenet-a.tar of github.com/hendrycks/natural-adv-examples", "classnames.txt": CLASSNAMES}
    sizes = (200, 7500, 0, 7500)
