"""The registry of backbones."""

from __future__ import annotations

import logging

from dassl.protocols import FeatureModule
from dassl.utils.registry import Registry, check_availability

logger = logging.getLogger(__name__)
BACKBONE_REGISTRY = Registry("BACKBONE")


def build_backbone(name: str, verbose: bool = True, **kwargs: object) -> FeatureModule:
    """The registered backbone of that name, made with `kwargs` (`pretrained`)."""
    check_availability(name, BACKBONE_REGISTRY.registered_names(), "backbone")
    if verbose:
        logger.info("Backbone: %s", name)
    return BACKBONE_REGISTRY.get(name)(**kwargs)
