"""Image backbones: modules with an attribute `out_features` that map images to features."""

from __future__ import annotations

import logging

from torch import nn

from dassl.utils.registry import Registry, check_availability

logger = logging.getLogger(__name__)
BACKBONE_REGISTRY = Registry("BACKBONE")


def build_backbone(name: str, verbose: bool = True, **kwargs) -> nn.Module:
    """The registered backbone of that name, made with `kwargs` (`pretrained`)."""
    check_availability(name, BACKBONE_REGISTRY.registered_names(), "backbone")
    if verbose:
        logger.info("Backbone: %s", name)
    return BACKBONE_REGISTRY.get(name)(**kwargs)


def _resnet(name: str, pretrained: bool) -> nn.Module:
    from torchvision import models

    model = getattr(models, name)(weights="IMAGENET1K_V1" if pretrained else None)
    model.out_features = model.fc.in_features
    model.fc = nn.Identity()
    return model


@BACKBONE_REGISTRY.register()
def resnet18(pretrained: bool = True, **kwargs) -> nn.Module:
    return _resnet("resnet18", pretrained)


@BACKBONE_REGISTRY.register()
def resnet50(pretrained: bool = True, **kwargs) -> nn.Module:
    return _resnet("resnet50", pretrained)


@BACKBONE_REGISTRY.register()
def resnet101(pretrained: bool = True, **kwargs) -> nn.Module:
    return _resnet("resnet101", pretrained)
