"""Heads between backbone and classifier."""

from __future__ import annotations

import logging

from torch import nn

from dassl.utils.registry import Registry, check_availability

logger = logging.getLogger(__name__)
HEAD_REGISTRY = Registry("HEAD")


def build_head(name: str, verbose: bool = True, **kwargs) -> nn.Module:
    """The registered head of that name, made with `kwargs`."""
    check_availability(name, HEAD_REGISTRY.registered_names(), "head")
    if verbose:
        logger.info("Head: %s", name)
    return HEAD_REGISTRY.get(name)(**kwargs)


@HEAD_REGISTRY.register()
def mlp(
    in_features: int = 2048,
    hidden_layers=(),
    activation: str = "relu",
    bn: bool = True,
    dropout: float = 0.0,
    **kwargs,
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
    model = nn.Sequential(*layers)
    model.out_features = in_features
    return model
