"""AutoAugment's policies under upstream's names; the operations are torchvision's."""

from __future__ import annotations

from torchvision.transforms import AutoAugment, AutoAugmentPolicy


class _Policy(AutoAugment):
    """Image -> image. fillcolor: RGB of the pixels that a shift or rotation leaves empty."""

    kind: AutoAugmentPolicy

    def __init__(self, fillcolor: tuple[int, int, int] = (128, 128, 128)) -> None:
        super().__init__(self.kind, fill=list(fillcolor))


class ImageNetPolicy(_Policy):
    kind = AutoAugmentPolicy.IMAGENET


class CIFAR10Policy(_Policy):
    kind = AutoAugmentPolicy.CIFAR10


class SVHNPolicy(_Policy):
    kind = AutoAugmentPolicy.SVHN
