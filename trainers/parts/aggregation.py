"""Gaussian weighted prompt aggregation over the epochs of a run (PromptSRC, Khattak et al., ICCV 2023)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def gaussian_weights(epochs: int, mean: float, std: float) -> Tensor:
    """[E], summing to 1: w_e proportional to exp(-(e - mean)^2 / (2 std^2)) for e = 1 .. E."""
    epoch = torch.arange(1, epochs + 1, dtype=torch.float64)
    return torch.softmax(-((epoch - mean) ** 2) / (2 * std**2), dim=0)  # also where all of them underflow


class GaussianAggregation:
    """The running sum of w_e * parameters, in fp32, of the learnable tensors only."""

    def __init__(self, model: nn.Module, weights: Tensor) -> None:
        self.model, self.weights = model, weights.tolist()
        self.total = {name: torch.zeros_like(p, dtype=torch.float32) for name, p in model.named_parameters()}

    @torch.no_grad()
    def add(self, epoch: int) -> None:
        """Take in the parameters as they are after the epoch of this index (0-based)."""
        for name, p in self.model.named_parameters():
            self.total[name] += self.weights[epoch] * p.float()

    @torch.no_grad()
    def deploy(self) -> None:
        """The aggregate becomes the model's parameters."""
        for name, p in self.model.named_parameters():
            p.copy_(self.total[name])

    @torch.no_grad()
    def load(self, total: dict[str, Tensor]) -> None:
        for name, tensor in self.total.items():
            tensor.copy_(total[name])
