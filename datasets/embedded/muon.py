"""Muon (Jordan et al. 2024): momentum whose singular values are made nearly equal, for the matrices of the towers.

torch's own Muon always multiplies in bfloat16, which a processor without instructions for it emulates at many times the
cost of float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

# Coefficients of the quintic iteration, and its number of steps, as published.
_A, _B, _C = 3.4445, -4.7750, 2.0315
_STEPS = 5


def orthogonalised(gradients: Tensor, dtype: torch.dtype) -> Tensor:
    """[N, m, n] -> matrices with the same singular vectors and singular values of about 1 (0.7 to 1.2); fp32."""
    wide = gradients.shape[1] <= gradients.shape[2]
    x = (gradients if wide else gradients.mT).to(dtype)
    x = x / x.flatten(1).norm(dim=1).clamp_min(1e-7)[:, None, None]
    for _ in range(_STEPS):
        gram = x @ x.mT
        x = _A * x + (_B * gram + _C * gram @ gram) @ x
    return (x if wide else x.mT).float()


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised, with decoupled weight decay.

    Updates are rescaled to the root mean square of AdamW's: lr times 0.2 * sqrt(max(m, n)) (Liu et al. 2025).
    params: matrices [m, n]; those of one shape are handled together. dtype: of the products.
    """

    def __init__(
        self, params: Iterable[Tensor], lr: float, weight_decay: float, dtype: torch.dtype, momentum: float = 0.95
    ) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})
        self.dtype = dtype

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update of every matrix that has a gradient. Takes no closure."""
        for group in self.param_groups:
            shapes: dict[torch.Size, list[Tensor]] = {}
            for p in group["params"]:
                if p.grad is not None:
                    shapes.setdefault(p.shape, []).append(p)
            for shape, matrices in shapes.items():
                self._update(matrices, group, 0.2 * max(shape) ** 0.5)

    def _update(self, matrices: list[Tensor], group: dict, rescale: float) -> None:
        directions = []
        for p in matrices:
            assert p.grad is not None
            average = self.state[p].setdefault("momentum", torch.zeros_like(p))
            average.lerp_(p.grad, 1 - group["momentum"])
            directions.append(p.grad.lerp(average, group["momentum"]))
        updates = orthogonalised(torch.stack(directions), self.dtype)
        for p, update in zip(matrices, updates, strict=True):
            p.mul_(1 - group["lr"] * group["weight_decay"]).add_(update, alpha=-group["lr"] * rescale)
