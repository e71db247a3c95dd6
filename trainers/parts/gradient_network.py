"""ProMetaR's network V: how much of a regulariser's gradient goes into a step, value by value."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from clipkit import InputError


class Gate(nn.Module):
    """gamma = sigmoid(V2 V1 [a; r]) for one tensor of n values: n / rate weights, each shared by `rate` neighbours."""

    def __init__(self, values: int, rate: int) -> None:
        super().__init__()
        self.rate = rate
        self.V1 = nn.Linear(2 * values, values // rate, bias=False)
        self.V2 = nn.Linear(values // rate, values // rate, bias=False)

    def forward(self, a: Tensor, r: Tensor) -> Tensor:
        """gamma [n, d] from the gradients of the loss (a) and of the regulariser (r), [n, d] each."""
        out = torch.sigmoid(self.V2(self.V1(torch.cat([a.flatten(), r.flatten()]))))
        return out.repeat_interleave(self.rate).view_as(a)


class GradientNetwork(nn.Module):
    """One gate for each learnable tensor, so for each block and tower. Raises InputError, naming `key`, if `rate` does
    not divide the number of a tensor's values."""

    def __init__(self, tensors: Mapping[str, Tensor], rate: int, key: str) -> None:
        super().__init__()
        for name, x in tensors.items():
            if x.numel() % rate:
                raise InputError(
                    f"{key} is {rate}, but must divide the {x.numel()} values of {name}; the default is 8."
                )
        self.gates = nn.ModuleDict({name.replace(".", "-"): Gate(x.numel(), rate) for name, x in tensors.items()})

    def forward(self, a: Mapping[str, Tensor], r: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """{name: g = a + gamma r}."""
        return {name: a[name] + self.gates[name.replace(".", "-")](a[name], r[name]) * r[name] for name in a}
