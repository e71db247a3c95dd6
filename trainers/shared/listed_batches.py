"""Training images in batches that are given as lists of indices, for methods that choose what goes together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch.utils.data import Dataset, Sampler, default_collate

from dassl.data.seeded_loader import SeededLoader
from dassl.data.workers import usable_workers
from dassl.utils import base_seed

if TYPE_CHECKING:
    from .method import Method


class _Whole(Dataset):
    """A data set whose items are whole batches, each named by its list of indices."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, indices: list[int]) -> dict:
        return default_collate([self.dataset[i] for i in indices])


class _Order(Sampler):
    """Gives the batches that were set last."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.batches)


class ListedBatches:
    """The training items under the training transform. Workers and decoded images stay from epoch to epoch; what a
    batch holds depends on seed, epoch, its position and its indices, not on the number of workers."""

    def __init__(self, trainer: Method) -> None:
        cfg, dataset = trainer.cfg, trainer.train_loader_x.dataset
        workers = usable_workers(cfg.DATALOADER.NUM_WORKERS)
        self.order = _Order()
        self.loader = SeededLoader(
            _Whole(getattr(dataset, "wrapped", dataset)),
            self.order,
            seed=base_seed(cfg),
            stream="listed",
            per_epoch=False,  # `load` names the epoch
            batch_size=None,  # batches are made by the data set
            num_workers=workers,
            persistent_workers=workers > 0 and cfg.DATALOADER.get("PERSISTENT_WORKERS", True),
            pin_memory=torch.cuda.is_available() and cfg.USE_CUDA,
        )

    def load(self, batches: list[list[int]], epoch: int, name: str = "listed") -> SeededLoader:
        """The loader, set to serve these batches of indices, in this order. name: that of the random stream."""
        self.order.batches = batches
        self.loader.set_stream(f"{name}, epoch {epoch}")
        return self.loader
