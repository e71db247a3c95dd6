"""The base class that a backbone may have."""

from __future__ import annotations

from torch import Tensor, nn


class Backbone(nn.Module):
    """Subclasses set `_out_features`, the dimension of the features of `forward`; it is read as `out_features`."""

    _out_features: int | None = None

    def forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    @property
    def out_features(self) -> int | None:
        return self._out_features
