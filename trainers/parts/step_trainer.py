"""Base of methods that train for a fixed number of steps, for any number of images, with a learning rate per step."""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Iterator

import torch
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
from yacs.config import CfgNode

from clipkit import InputError, derive_seed
from dassl.utils import base_seed

from ..base import PromptTrainer
from ..shared.listed_batches import ListedBatches

logger = logging.getLogger(__name__)


def cosine(step: int, steps: int, last: float = 0.0) -> float:
    """The learning rate of a step as a share of the first: a half cosine from 1 to `last` at `steps`, then constant."""
    return last + (1 - last) / 2 * (1 + math.cos(math.pi * min(step / max(steps, 1), 1)))


class StepTrainer(PromptTrainer):
    """Divides the steps into OPTIM.MAX_EPOCH epochs of equal length; a checkpoint may be saved after each.

    Such an epoch is not a pass over the images: passes continue from one epoch to the next, and include their last,
    incomplete batch. The learning rate is a cosine over all steps; OPTIM.WARMUP_EPOCH has no effect.
    """

    counts_skipped = True  # whether steps count that mixed precision skips because of an infinite gradient
    rate_at_end = 0.0  # the learning rate after the last step
    steps_done = 0
    batches_taken = 0

    def total_steps(self) -> int:
        """`STEPS`, or where that is 0, `STEPS_PER_SHOT` times the number of shots; 0 where that is not known."""
        cfg = self.method_cfg()
        return cfg.STEPS or cfg.STEPS_PER_SHOT * max(self.cfg.DATASET.NUM_SHOTS, 0)

    def check_cfg(self, cfg: CfgNode) -> None:
        super().check_cfg(cfg)
        if cfg.OPTIM.LR_SCHEDULER != "cosine":
            raise InputError(
                f"OPTIM.LR_SCHEDULER is {cfg.OPTIM.LR_SCHEDULER!r}, but {cfg.TRAINER.NAME}'s rate is a cosine over its "
                "steps; leave it at cosine."
            )

    def before_train(self) -> None:
        super().before_train()
        total = self.total_steps()
        if not total:
            raise InputError(
                f"{self.cfg.TRAINER.NAME} has a number of steps per shot, but DATASET.NUM_SHOTS is "
                f"{self.cfg.DATASET.NUM_SHOTS}; give {self.node}.STEPS, or a number of shots."
            )
        if self.max_epoch > total:
            raise InputError(
                f"OPTIM.MAX_EPOCH is {self.max_epoch}, but {self.cfg.TRAINER.NAME} has {total} steps to divide among "
                "so many epochs; lower it."
            )
        logger.info("%d steps, in %d epochs", total, self.max_epoch)

    def build_scheduler(self) -> LRScheduler:
        last = self.rate_at_end / self.cfg.OPTIM.LR if self.cfg.OPTIM.LR else 0.0
        return LambdaLR(self.optim, lambda step: cosine(step, self.total_steps(), last))

    # ------------------------------------------------------------------ batches and steps

    @functools.cached_property
    def listed_batches(self) -> ListedBatches:
        return ListedBatches(self)

    def batches_of_pass(self, number: int) -> list[list[int]]:
        """The indices of all training items in the order of one pass, in batches; the last one may be smaller."""
        generator = torch.Generator().manual_seed(derive_seed(base_seed(self.cfg), "pass", number))
        order = torch.randperm(len(self.dm.dataset.train_x), generator=generator)
        return [batch.tolist() for batch in order.split(self.cfg.DATALOADER.TRAIN_X.BATCH_SIZE)]

    def _batches(self) -> Iterator[tuple]:
        begin, end = (self.total_steps() * epoch // self.max_epoch for epoch in (self.epoch, self.epoch + 1))
        self.num_batches = end - begin
        in_a_pass = len(self.batches_of_pass(0))
        while (wanted := end - self.steps_done) > 0:
            number, taken = divmod(self.batches_taken, in_a_pass)
            chosen = self.batches_of_pass(number)[taken : taken + wanted]
            for batch in self.listed_batches.load(chosen, number, f"pass from batch {taken}"):
                self.batches_taken += 1
                yield (batch,)

    def forward_backward(self, batch: dict) -> dict[str, float]:
        scale = self.scaler.get_scale()
        summary = super().forward_backward(batch)
        if self.counts_skipped or self.scaler.get_scale() >= scale:
            self.steps_done += 1
            self.update_lr()
        return summary

    def end_step(self) -> None:
        """The schedule is stepped in `forward_backward`, once it is known whether the step was skipped."""

    # ------------------------------------------------------------------ checkpoints

    def run_identity(self) -> dict:
        """Also the steps and epochs: they determine the step of a checkpoint, so they may not change on resume."""
        return super().run_identity() | {"steps": f"{self.total_steps()} in {self.cfg.OPTIM.MAX_EPOCH} epochs"}

    def extra_state(self) -> dict:
        return super().extra_state() | {"steps": self.steps_done, "batches": self.batches_taken}

    def load_extra_state(self, state: dict) -> None:
        super().load_extra_state(state)
        self.steps_done, self.batches_taken = state["steps"], state["batches"]
