"""The registry of heads."""

from __future__ import annotations

import logging

from dassl.protocols import FeatureModule
from dassl.utils.registry import Registry, check_availability

logger = logging.getLogger(__name__)
HEAD_REGISTRY = Registry("HEAD")


def build_head(name: str, verbose: bool = True, **kwargs: object) -> FeatureModule:
    """The registered head of that name, made with `kwargs`."""
    check_availability(name, HEAD_REGISTRY.registered_names(), "head")
    if verbose:
        logger.info("Head: %s", name)
    return HEAD_REGISTRY.get(name)(**kwargs)
