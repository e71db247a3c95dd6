"""Further networks by name (upstream's image generators are not here; register your own)."""

from __future__ import annotations

import logging

from torch import nn

from dassl.utils.registry import Registry, check_availability

logger = logging.getLogger(__name__)
NETWORK_REGISTRY = Registry("NETWORK")


def build_network(name: str, verbose: bool = True, **kwargs: object) -> nn.Module:
    """The registered network of that name, made with `kwargs`."""
    check_availability(name, NETWORK_REGISTRY.registered_names(), "network")
    if verbose:
        logger.info("Network: %s", name)
    return NETWORK_REGISTRY.get(name)(**kwargs)
