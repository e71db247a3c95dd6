"""What features of pictures depend on beside the pictures and their transform: the first part of a bank's keys."""

from __future__ import annotations

import PIL
import torch
import torchvision

from clipkit import arithmetic
from dassl.utils import read_image


def bank_facts(backbone: str, precision: str, device: torch.device) -> dict[str, str]:
    """backbone: the fingerprint of its weights. The device's arithmetic and the libraries that read, transform and
    encode: another version of one may change the last bit."""
    return {
        "backbone": backbone,
        "precision": precision,
        "device": arithmetic(device),
        "torch": f"{torch.__version__}, torchvision {torchvision.__version__}",
        "reader": f"{getattr(read_image, 'rules', 'upstream')}, Pillow {PIL.__version__}",
    }
