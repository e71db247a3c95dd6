"""Training items in batches given as lists of (index, seed of the crop); and the passes of an epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

import torch
from torch.utils.data import Dataset, Sampler, default_collate
from yacs.config import CfgNode

from dassl.data.seeded_loader import SeededIndex, SeededLoader
from dassl.data.workers import usable_workers
from dassl.utils import base_seed
from dassl.utils.randomness import seed_cpu

CHUNK = 2048  # consecutive positions of a pass that are stored together


class Passes:
    """Passes over the training list, numbered through: position p of pass k is the place k * stride + p.

    draw: k -> the items of that pass in order, at most `size`.
    """

    def __init__(self, draw: Callable[[int], list[SeededIndex]], size: int) -> None:
        self.turn = cache(draw)
        self._where = cache(lambda turn: {item.position: p for p, item in enumerate(self.turn(turn))})
        self.stride = -(-size // CHUNK) * CHUNK  # so that a chunk is of one pass

    def __getitem__(self, place: int) -> SeededIndex:
        turn, position = divmod(place, self.stride)
        return self.turn(turn)[position]

    def place(self, turn: int, index: int) -> int:
        """The place of the item `index` in pass `turn`."""
        return turn * self.stride + self._where(turn)[index]

    def chunk(self, number: int) -> list[SeededIndex]:
        """The items of a chunk of places, which lies within one pass."""
        turn, start = divmod(number * CHUNK, self.stride)
        return self.turn(turn)[start : start + CHUNK]


class _Batches(Dataset):
    """A data set whose items are whole batches."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    @property
    def data_source(self) -> list:
        return self.dataset.data_source

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, items: list[SeededIndex]) -> dict:
        return default_collate([self._item(item) for item in items])

    def _item(self, item: SeededIndex) -> dict:
        seed_cpu(item.seed)
        return self.dataset[item.position]


class _Order(Sampler):
    """Gives the batches that were set last."""

    def __init__(self) -> None:
        self.batches: list[list[SeededIndex]] = []

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[SeededIndex]]:
        return iter(self.batches)


class PlannedBatches:
    """The training items under the training transform.

    Workers and decoded images stay from call to call. A crop depends on its item and its seed alone.
    """

    def __init__(self, cfg: CfgNode, dataset: Dataset) -> None:
        workers = usable_workers(cfg.DATALOADER.NUM_WORKERS)
        self.order = _Order()
        self.loader = SeededLoader(
            _Batches(dataset),
            self.order,
            seed=base_seed(cfg),
            stream="planned",
            per_epoch=False,
            batch_size=None,  # batches are made by the data set
            num_workers=workers,
            persistent_workers=workers > 0 and cfg.DATALOADER.get("PERSISTENT_WORKERS", True),
            pin_memory=torch.cuda.is_available() and cfg.USE_CUDA,
        )

    def load(self, batches: list[list[SeededIndex]]) -> SeededLoader:
        """A loader of these batches, in this order."""
        self.order.batches = batches
        return self.loader
