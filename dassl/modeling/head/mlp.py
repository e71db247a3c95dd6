"""Linear layers with batch norm, activation and dropout."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from .build import HEAD_REGISTRY


class _Layers(nn.Sequential):
    out_features: int


@HEAD_REGISTRY.register()
def mlp(
    in_features: int = 2048,
    hidden_layers: int | Sequence[int] = (),
    activation: str = "relu",
    bn: bool = True,
    dropout: float = 0.0,
    **kwargs: object,
) -> nn.Module:
    """Linear layers, each with batch norm, activation (relu, leaky_relu) and dropout; has `out_features`."""
    sizes = [hidden_layers] if isinstance(hidden_layers, int) else list(hidden_layers)
    layers: list[nn.Module] = []
    for size in sizes:
        layers.append(nn.Linear(in_features, size))
        if bn:
            layers.append(nn.BatchNorm1d(size))
        layers.append({"relu": nn.ReLU, "leaky_relu": nn.LeakyReLU}[activation]())
        if dropout > 0:
            layers.append(nn.Dropout(dropout))
        in_features = size
    model = _Layers(*layers)
    model.out_features = in_features
    return model
