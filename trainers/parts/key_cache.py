"""Tip-Adapter's cache: features of training images as keys, their labels as values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from dassl.utils import InputError

from ..shared.known_classes import KnownClasses


class Cache(KnownClasses):
    """`adapter.weight` [N, d]: the keys, features of N training images; `values` [N]: their labels; `alpha`: the
    weight of the cache's logits; `beta`: the sharpness of the similarity to keys."""

    class_tensors = ("adapter.weight", "values")
    rows_are_classes = False

    def __init__(self, names: list[str], values: Tensor, dim: int, alpha: float, beta: float) -> None:
        super().__init__(names)
        self.adapter = nn.Module()
        self.adapter.weight = nn.Parameter(torch.zeros(len(values), dim))
        self.register_buffer("values", values)
        self.register_buffer("alpha", torch.tensor(alpha))
        self.register_buffer("beta", torch.tensor(beta))

    def take_shapes(self, state: Mapping[str, Tensor], names: Sequence[str] | None, path: str) -> None:
        super().take_shapes(state, names, path)
        values = state.get("values", self.values)
        if values.numel() and not 0 <= values.min() <= values.max() < len(self.known):
            raise InputError(f"{path}: values has class numbers that are not among its {len(self.known)} classes.")
