"""RandAugment under upstream's name; the operations are torchvision's."""

from __future__ import annotations

from torchvision import transforms

from dassl.left_out import names_left_out

__all__ = ["RandAugment"]
__getattr__ = names_left_out(__name__)


class RandAugment(transforms.RandAugment):
    """Image -> image: `n` operations of magnitude `m` (0 to 30)."""

    def __init__(self, n: int = 2, m: int = 10) -> None:
        super().__init__(n, m)
