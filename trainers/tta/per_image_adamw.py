"""AdamW for many contexts at once, each with moments of its own."""

from __future__ import annotations

import torch
from torch import Tensor


class PerImageAdamW:
    """Steps of torch.optim.AdamW, elementwise and from empty moments, on any tensor.

    The first step has a closed form, v - lr wd v - lr g / (|g| + eps): moments of one gradient are that gradient.
    """

    def __init__(
        self, lr: float, weight_decay: float, beta: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8
    ) -> None:
        self.lr, self.weight_decay, self.beta, self.eps = lr, weight_decay, beta, eps
        self.steps = 0
        self.first: Tensor | None = None  # m, v of Loshchilov and Hutter, made at the second step
        self.second: Tensor | None = None

    def step(self, value: Tensor, gradient: Tensor) -> Tensor:
        """The new value; neither argument is changed."""
        self.steps += 1
        b1, b2 = self.beta
        value = value * (1 - self.lr * self.weight_decay)
        if self.steps == 1:
            self.first, self.second = gradient * (1 - b1), gradient.square() * (1 - b2)
            return value - self.lr * gradient / (gradient.abs() + self.eps)
        self.first = torch.lerp(self.first, gradient, 1 - b1)
        self.second = b2 * self.second + (1 - b2) * gradient.square()
        m = self.first / (1 - b1**self.steps)
        v = self.second / (1 - b2**self.steps)
        return value - self.lr * m / (v.sqrt() + self.eps)
