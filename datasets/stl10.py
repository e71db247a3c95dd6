"""STL-10 (Coates et al. 2011): ten object classes in images of 96 pixels; the unlabelled images are not read."""

from __future__ import annotations

from typing import Any

from dassl.data.datasets import DATASET_REGISTRY

from .packed import PackedDataset, Pictures


@DATASET_REGISTRY.register()
class STL10(PackedDataset):
    dataset_dir, other_dirs = "stl10", ("stl10_binary",)
    archive, site = "stl10_binary", "stl10_binary.tar.gz of cs.stanford.edu/~acoates/stl10"
    sizes = (10, 4500, 500, 8000)
    opened: Any = None

    def pictures(self, part: str, root: str) -> Pictures:
        """Files hold column-major [3, 96, 96] and labels 1 .. 10; torchvision transposes the images and subtracts 1."""
        import torchvision.datasets

        self.opened = torchvision.datasets.STL10(root, split=part)
        yield from ((x.transpose(1, 2, 0), int(y)) for x, y in zip(self.opened.data, self.opened.labels, strict=True))

    def names(self) -> list[str]:
        return list(self.opened.classes)
