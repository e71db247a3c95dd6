"""Training crops in batches that are given as lists of items, each with the seed that it is cropped by."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler
from yacs.config import CfgNode

from dassl.data.seeded_loader import SeededIndex, SeededLoader
from dassl.data.workers import usable_workers
from dassl.utils import base_seed
from dassl.utils.randomness import seed_cpu


class _Crops(Dataset):
    """A data set whose items are the images of whole batches, [B, 3, H, W]."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    @property
    def data_source(self) -> list:
        return self.dataset.data_source

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, items: list[SeededIndex]) -> Tensor:
        return torch.stack([self._crop(item) for item in items])

    def _crop(self, item: SeededIndex) -> Tensor:
        seed_cpu(item.seed)
        return self.dataset[item.position]["img"]


class _Order(Sampler):
    """Gives the batches that were set last."""

    def __init__(self) -> None:
        self.batches: list[list[SeededIndex]] = []

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[SeededIndex]]:
        return iter(self.batches)


class PlannedCrops:
    """The training images of a data set under the training transform.

    Workers and decoded images stay from call to call. A crop depends on its item and its seed alone.
    """

    def __init__(self, cfg: CfgNode, dataset: Dataset) -> None:
        workers = usable_workers(cfg.DATALOADER.NUM_WORKERS)
        self.order = _Order()
        self.loader = SeededLoader(
            _Crops(dataset),
            self.order,
            seed=base_seed(cfg),
            stream="crops",
            per_epoch=False,
            batch_size=None,  # batches are made by the data set
            num_workers=workers,
            persistent_workers=workers > 0 and cfg.DATALOADER.get("PERSISTENT_WORKERS", True),
            pin_memory=torch.cuda.is_available() and cfg.USE_CUDA,
        )

    def load(self, batches: list[list[SeededIndex]]) -> SeededLoader:
        """A loader of [B, 3, H, W] for each of these batches, in this order."""
        self.order.batches = batches
        return self.loader
