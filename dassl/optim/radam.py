"""Rectified Adam (Liu et al., ICLR 2020) as in upstream: with decoupled weight decay."""

from __future__ import annotations

from collections.abc import Iterable

import torch


class RAdam(torch.optim.RAdam):
    """torch's RAdam with decoupled weight decay: weights shrink by the factor 1 - lr * weight_decay at each step.

    In the first steps, while the variance of the adaptive rate is not tractable, the step is that of SGD with momentum
    (`degenerated_to_sgd`). False would skip these steps, which torch cannot: ValueError.
    """

    def __init__(
        self,
        params: Iterable,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        degenerated_to_sgd: bool = True,
    ) -> None:
        if not degenerated_to_sgd:
            raise ValueError("RAdam without degenerated_to_sgd is not implemented here")
        super().__init__(params, lr, betas, eps, weight_decay, decoupled_weight_decay=True)
