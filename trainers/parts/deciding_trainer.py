"""Training that tells clean from noisy items: each epoch a decision, then the passes that it asks for."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import torch
from torch import Tensor

from clipkit import derive_seed
from dassl.utils import base_seed

from ..base import PromptTrainer
from ..label_noise.decisions import Decision, record_decision
from ..shared.listed_batches import ListedBatches


class DecidingTrainer(PromptTrainer):
    """Each epoch: `decide()`, then the steps that the decision asks for.

    Nothing is dropped. Order and transforms depend on seed and epoch alone.
    """

    part = "all"  # what the current step trains on; the loss may look at it

    def decide(self) -> Decision | None:
        """About all N training items, under the current prompts; None: an ordinary pass over all of them ("all")."""
        raise NotImplementedError

    def steps(self, decision: Decision) -> list[tuple[str, list[int]]]:
        """The part and the items' indices of each step of this epoch."""
        raise NotImplementedError

    @cached_property
    def listed_batches(self) -> ListedBatches:
        """Training images in batches of given indices, under the training transform."""
        return ListedBatches(self)

    def shuffled_batches(self, chosen: Tensor, *name: object) -> list[list[int]]:
        """The items that the mask [N] chooses, in batches; the order is drawn from the seed and the name."""
        indices = chosen.nonzero()[:, 0].cpu()
        generator = torch.Generator().manual_seed(derive_seed(base_seed(self.cfg), "order", *name))
        order = indices[torch.randperm(len(indices), generator=generator)]
        return [batch.tolist() for batch in order.split(self.cfg.DATALOADER.TRAIN_X.BATCH_SIZE) if len(batch)]

    def _batches(self) -> Iterator[tuple]:
        self.part = "all"
        decision = self.decide()
        if decision is None:
            yield from super()._batches()
            return
        record_decision(self, decision)
        steps = self.steps(decision)
        self.num_batches = len(steps)
        loader = self.listed_batches.load([indices for _, indices in steps], self.epoch)
        for (self.part, _), batch in zip(steps, self._bar(loader), strict=True):  # noqa: B020 (the loss reads it)
            yield (batch,)


class CleanThenNoisy(DecidingTrainer):
    """Each epoch one pass over the clean items (`self.part` is "clean"), then one over the noisy ones ("noisy").

    Steps of both passes count together (`batch_idx` of `num_batches`), so the learning rate moves once an epoch. An
    empty part is left out.
    """

    def steps(self, decision: Decision) -> list[tuple[str, list[int]]]:
        parts = {"clean": decision.clean, "noisy": ~decision.clean}
        return [(name, batch) for name in parts for batch in self.shuffled_batches(parts[name], name, self.epoch)]

    def forward_backward(self, batch: dict) -> dict[str, float]:
        """One step; the loss of each part is logged by itself too."""
        summary = super().forward_backward(batch)
        return summary if self.part == "all" else summary | {f"loss_{self.part}": summary["loss"]}
