"""Test images as features: their key in the feature bank, how they are computed, and a loader over them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from clipkit import image_list_key

from .bank_facts import bank_facts


def bank_key(loader: DataLoader, backbone: str, precision: str, device: torch.device, normalized: bool = True) -> dict:
    """Everything that the image features of a sequential loader depend on, down to the last bit."""
    dataset = loader.dataset
    return {
        "kind": "image features, normalised, fp32" if normalized else "image features, fp32",
        **bank_facts(backbone, "bf16, under autocast" if precision == "bf16" else precision, device),
        "transform": repr(dataset.transform),
        "images": image_list_key([item.impath for item in dataset.data_source]),
        "batch_size": loader.batch_size,
    }


@torch.no_grad()
def encode_loader(loader: DataLoader, encode_image: Callable[[Tensor], Tensor], device: torch.device) -> Tensor:
    """[N, d] features of all images of a sequential loader, in the loader's own batches."""
    batches = tqdm(loader, desc="image features", disable=None, leave=False)
    return torch.cat([encode_image(batch["img"].to(device)).cpu() for batch in batches])


class FeatureLoader:
    """A loader over features, in the form of the image loader that they come from: same batches, `img` is [B, d]."""

    def __init__(self, features: Tensor, loader: DataLoader) -> None:
        self.features, self.loader = features, loader
        self.dataset, self.batch_size = loader.dataset, loader.batch_size
        self.labels = torch.tensor([item.label for item in loader.dataset.data_source])

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[dict]:
        yield from (
            {"img": img, "label": label}
            for img, label in zip(self.features.split(self.batch_size), self.labels.split(self.batch_size), strict=True)
        )
