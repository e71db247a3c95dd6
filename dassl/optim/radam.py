"""Rectified Adam as upstream has it: weight decay is apart from the gradient (Liu et al., ICLR 2020)."""

from __future__ import annotations

from collections.abc import Iterable

import torch


class RAdam(torch.optim.RAdam):
    """torch's RAdam whose weight decay shrinks the weights by lr * weight_decay in place of entering the gradient.

    While the variance of the adaptive rate is not yet tractable (the first steps), the step is that of momentum: this
    is `degenerated_to_sgd`. False would mean no step then, which torch does not have: ValueError.
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
