"""Base of methods that select the best epoch on labelled images other than those that they train on."""

from __future__ import annotations

import logging

import torch
from torch import Tensor

from ..base import PromptTrainer
from .frozen_features import choosing_features

logger = logging.getLogger(__name__)


class BestEpoch(PromptTrainer):
    """Subclasses call `choose_epoch` after each epoch; after the last one the learner gets the values of the best
    epoch. A resumed run goes on with the best so far."""

    later_wins = False  # which of several epochs of equal accuracy is taken: True the last, False the first
    best: dict | None = None  # accuracy, epoch and values

    def choosing(self, which: str, key: str) -> tuple[Tensor, Tensor]:
        """Features and labels of the images for the selection, see `choosing_features`; computed once."""
        self.chosen_on: dict[str, tuple[Tensor, Tensor]] = getattr(self, "chosen_on", {})
        if which not in self.chosen_on:
            self.chosen_on[which] = choosing_features(self, which, key)
        return self.chosen_on[which]

    @torch.no_grad()
    def choose_epoch(self, which: str, key: str) -> None:
        f, label = self.choosing(which, key)
        accuracy = 100 * (self.image_logits(f).argmax(1) == label).float().mean().item()
        before = -1.0 if self.best is None else self.best["accuracy"]
        if accuracy > before or (self.later_wins and accuracy == before):
            values = {name: x.detach().clone() for name, x in self.model.state_dict().items()}
            self.best = {"accuracy": accuracy, "epoch": self.epoch + 1, "values": values}
        if self.epoch + 1 == self.max_epoch:
            self.model.load_state_dict(self.best["values"])
            found = {"images": which, "count": len(f), "epoch": self.best["epoch"], "accuracy": self.best["accuracy"]}
            self.record["chosen_epoch"] = found
            logger.info(
                "Epoch %d is selected: accuracy %.2f %% on the images of %s", found["epoch"], found["accuracy"], which
            )

    def extra_state(self) -> dict:
        return super().extra_state() | ({} if self.best is None else {"best": self.best})

    def load_extra_state(self, state: dict) -> None:
        super().load_extra_state(state)
        if "best" in state:
            values = {name: x.to(self.device) for name, x in state["best"]["values"].items()}
            self.best = state["best"] | {"values": values}
