"""Training that separates clean from noisy items: in each epoch a decision, then passes that depend on it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict
from functools import cached_property
from itertools import count, islice

import torch
from torch import Tensor

from clipkit import derive_seed
from dassl.utils import base_seed

from ..base import PromptTrainer
from ..label_noise.decisions import Decision, record_decision
from ..shared.listed_batches import ListedBatches


class DecidingTrainer(PromptTrainer):
    """Each epoch: `decide()`, then the steps that the decision asks for.

    `batch["part"]` names the part that a batch is from; it is the third argument of the method's `loss(image, label,
    part)`, and "all" in an ordinary pass. No batch is dropped. Order and transforms depend on seed and epoch alone.
    """

    trains_on_features = True

    def decide(self) -> Decision | None:
        """The decision about all N training items under the current prompts; None: an ordinary pass ("all")."""
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
        decision = self.decide()
        if decision is None:
            yield from super()._batches()
            return
        record_decision(self, decision)
        steps = self.steps(decision)
        self.num_batches = len(steps)
        loader = self.listed_batches.load([indices for _, indices in steps], self.epoch)
        for (part, _), batch in zip(steps, self._bar(loader), strict=True):
            yield ({**batch, "part": part},)

    def parse_batch_train(self, batch: dict) -> tuple:
        """(images, labels, part); the part is "all" in an epoch without a decision."""
        return (*super().parse_batch_train(batch), batch.get("part", "all"))


class CleanThenNoisy(DecidingTrainer):
    """Each epoch one pass over the clean items (their part is "clean"), then one over the noisy ones ("noisy").

    Steps of both passes count together (`batch_idx` of `num_batches`), so the learning rate moves once per epoch. An
    empty part is left out.
    """

    trains_on_features = True

    def steps(self, decision: Decision) -> list[tuple[str, list[int]]]:
        parts = {"clean": decision.clean, "noisy": ~decision.clean}
        return [(name, batch) for name in parts for batch in self.shuffled_batches(parts[name], name, self.epoch)]

    def forward_backward(self, batch: dict) -> dict[str, float]:
        """One step; the loss of each part is logged by itself too."""
        summary, part = super().forward_backward(batch), batch.get("part", "all")
        return summary if part == "all" else summary | {f"loss_{part}": summary["loss"]}


class LastingDecision(CleanThenNoisy):
    """A `CleanThenNoisy` whose decision may hold for several epochs, so it is saved in the checkpoint."""

    decision: Decision | None = None  # the last one

    def extra_state(self) -> dict:
        return super().extra_state() | ({} if self.decision is None else asdict(self.decision))

    def load_extra_state(self, state: dict) -> None:
        super().load_extra_state(state)
        if "clean" in state:
            self.decision = Decision(state["clean"].to(self.device), state["score"].to(self.device))


class CleanBesideNoisy(DecidingTrainer):
    """Each step trains on a batch of clean and one of noisy items together (part "both").

    The smaller part starts again, in another order, as often as it takes; where one part is empty the other is alone.
    """

    def steps(self, decision: Decision) -> list[tuple[str, list[int]]]:
        parts = {name: part for name, part in (("clean", decision.clean), ("noisy", ~decision.clean)) if part.any()}
        size = self.cfg.DATALOADER.TRAIN_X.BATCH_SIZE
        longest = max(math.ceil(part.sum().item() / size) for part in parts.values())
        streams = [self.again_and_again(part, name) for name, part in parts.items()]
        return [("both", sum(batches, [])) for batches in islice(zip(*streams, strict=False), longest)]

    def again_and_again(self, part: Tensor, name: str) -> Iterator[list[int]]:
        for turn in count():
            yield from self.shuffled_batches(part, name, self.epoch, turn)
