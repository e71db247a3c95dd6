"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009): pictures of 32 pixels; a tenth of the training part is for validation."""

from __future__ import annotations

from typing import Any

from dassl.data.datasets import DATASET_REGISTRY

from .packed import PackedDataset, Pictures


class Cifar(PackedDataset):
    """`kind`: the name of torchvision's class, which checks the files before it unpickles them."""

    kind = ""
    opened: Any = None

    def pictures(self, part: str, root: str) -> Pictures:
        import torchvision.datasets

        self.opened = getattr(torchvision.datasets, self.kind)(root, train=part == "train")
        yield from zip(self.opened.data, self.opened.targets, strict=True)

    def names(self) -> list[str]:
        return list(self.opened.classes)


@DATASET_REGISTRY.register()
class CIFAR10(Cifar):
    kind = "CIFAR10"
    dataset_dir, other_dirs = "cifar10", ("cifar-10-batches-py",)
    archive, site = "cifar-10-batches-py", "cifar-10-python.tar.gz of cs.toronto.edu/~kriz/cifar.html"
    sizes = (10, 45000, 5000, 10000)


@DATASET_REGISTRY.register()
class CIFAR100(Cifar):
    kind = "CIFAR100"
    dataset_dir, other_dirs = "cifar100", ("cifar-100-python",)
    archive, site = "cifar-100-python", "cifar-100-python.tar.gz of cs.toronto.edu/~kriz/cifar.html"
    sizes = (100, 45000, 5000, 10000)
