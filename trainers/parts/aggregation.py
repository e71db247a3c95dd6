"""Weighted average of the learnable tensors over the epochs of a run (PromptSRC: a Gaussian; TAC: uniform)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from clipkit import InputError

from ..base import PromptTrainer


def gaussian_weights(epochs: int, mean: float, std: float) -> Tensor:
    """[E], summing to 1: w_e proportional to exp(-(e - mean)^2 / (2 std^2)) for e = 1 .. E."""
    epoch = torch.arange(1, epochs + 1, dtype=torch.float64)
    return torch.softmax(-((epoch - mean) ** 2) / (2 * std**2), dim=0)  # also where all of them underflow


class Aggregation:
    """The running sum of w_e * parameters, in fp32, of the learnable tensors only."""

    def __init__(self, model: nn.Module, weights: Tensor) -> None:
        self.model, self.weights = model, weights.tolist()
        self.total = {name: torch.zeros_like(p, dtype=torch.float32) for name, p in model.named_parameters()}

    @torch.no_grad()
    def add(self, epoch: int) -> None:
        """Adds the present parameters, those after the epoch of this index (0-based), with its weight."""
        for name, p in self.model.named_parameters():
            self.total[name] += self.weights[epoch] * p.float()

    @torch.no_grad()
    def deploy(self) -> None:
        """Sets the model's parameters to the weighted average."""
        for name, p in self.model.named_parameters():
            p.copy_(self.total[name])

    @torch.no_grad()
    def load(self, total: dict[str, Tensor]) -> None:
        """Sets the running sum to `total`, {parameter: tensor} of an interrupted run."""
        for name, tensor in self.total.items():
            tensor.copy_(total[name])


class EpochAverage(PromptTrainer):
    """Mix-in for methods that test with an average of their parameters over the epochs; it precedes the base class."""

    def epoch_weights(self) -> Tensor:
        """[E], the weight of the tensors after each epoch; they sum to 1."""
        raise NotImplementedError

    def build_model(self) -> None:
        super().build_model()
        self.aggregation = Aggregation(self.model, self.epoch_weights())

    def before_train(self) -> None:
        self._resumed_aggregate = False
        super().before_train()
        if 0 < self.start_epoch < self.max_epoch and not self._resumed_aggregate:
            where = self.cfg.RESUME or self.output_dir
            raise InputError(
                f"The checkpoint in {where} does not hold the average over the epochs so far, without which "
                f"{self.cfg.TRAINER.NAME} cannot go on: train again in another --output-dir."
            )

    def after_epoch(self) -> None:
        self.aggregation.add(self.epoch)
        if self.epoch + 1 == self.max_epoch:
            self.aggregation.deploy()
        super().after_epoch()

    def extra_state(self) -> dict:
        finished = self.epoch + 1 == self.max_epoch
        return super().extra_state() | ({} if finished else {"aggregate": self.aggregation.total})

    def load_extra_state(self, state: dict) -> None:
        super().load_extra_state(state)
        if "aggregate" in state:
            self.aggregation.load(state["aggregate"])
            self._resumed_aggregate = True
