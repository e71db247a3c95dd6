"""Training items in batches that are given as lists of indices, for methods that compose their own batches."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from torch.utils.data import RandomSampler

from dassl.data.seeded_loader import SeededIndex, SeededSampler
from dassl.protocols import SizedIterable
from dassl.utils import base_seed

from .crop_features import Served
from .planned_crops import Passes, PlannedBatches

if TYPE_CHECKING:
    from .method import Method


class ListedBatches:
    """The training items under the training transform: as features where the method trains on these, else as images.

    The content of a batch depends on seed, epoch and its indices, not on the number of workers. The first time in an
    epoch, an item is cropped as in the epoch's ordinary pass, so that all methods share its features; the second time
    as in a second pass, and so on.
    """

    def __init__(self, trainer: Method) -> None:
        self.trainer = trainer
        dataset = trainer.train_loader_x.dataset
        self.dataset = getattr(dataset, "wrapped", dataset)
        self.planned = PlannedBatches(trainer.cfg, self.dataset)

    def load(self, batches: list[list[int]], epoch: int, stream: str = "train_x") -> SizedIterable[dict]:
        """These batches of indices, in this order. stream: that of the passes' draws, by default the ordinary ones'."""
        order = SeededSampler(RandomSampler(self.dataset), base_seed(self.trainer.cfg), stream, per_epoch=True)

        def draw(turn: int) -> list[SeededIndex]:
            order.epoch, order.passes = epoch, turn
            return order.next_pass()

        passes, seen = Passes(draw, len(self.dataset)), Counter[int]()
        places: list[list[int]] = [[] for _ in batches]
        for row, batch in zip(places, batches, strict=True):
            for index in batch:
                row.append(passes.place(seen[index], index))
                seen[index] += 1
        if self.trainer.crop_features is not None:
            return Served(self.trainer.crop_features, passes, places, at_once=True)
        return self.planned.load([[passes[place] for place in row] for row in places])
