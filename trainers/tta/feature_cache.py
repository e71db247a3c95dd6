"""A cache of features by class, as in TDA: the few most confident of each class."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor


class Entry(NamedTuple):
    """f [d]: a feature; entropy: of its prediction; value [C]: its contribution to the logits."""

    f: Tensor
    entropy: float
    value: Tensor


@dataclass
class FeatureCache:
    """At most `capacity` entries of each class, those of lowest entropy, in its order."""

    capacity: int
    classes: dict[int, list[Entry]] = field(default_factory=dict)

    def add(self, label: int, entry: Entry) -> None:
        """Appends, or replaces the class's entry of largest entropy if this one's is smaller."""
        kept = self.classes.setdefault(label, [])
        if len(kept) < self.capacity:
            kept.append(entry)
        elif entry.entropy < kept[-1].entropy:
            kept[-1] = entry
        kept.sort(key=lambda e: e.entropy)

    def read(self, f: Tensor, alpha: float, beta: float) -> Tensor | float:
        """alpha exp(-beta (1 - f K^T)) V: [C] of f [d], K [N, d] the keys and V [N, C] the values; 0 when empty."""
        entries = [entry for kept in self.classes.values() for entry in kept]
        if not entries:
            return 0.0
        keys, values = torch.stack([e.f for e in entries]), torch.stack([e.value for e in entries])
        return alpha * torch.exp(-beta * (1 - keys @ f)) @ values

    def copy(self) -> FeatureCache:
        return FeatureCache(self.capacity, {label: list(kept) for label, kept in self.classes.items()})

    def __len__(self) -> int:
        return sum(map(len, self.classes.values()))
