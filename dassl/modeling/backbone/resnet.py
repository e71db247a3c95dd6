"""torchvision's ResNets without their classifier."""

from __future__ import annotations

from torch import nn

from .build import BACKBONE_REGISTRY


def _resnet(name: str, pretrained: bool) -> nn.Module:
    from torchvision import models

    model = getattr(models, name)(weights="IMAGENET1K_V1" if pretrained else None)
    model.out_features = model.fc.in_features
    model.fc = nn.Identity()
    return model


@BACKBONE_REGISTRY.register()
def resnet18(pretrained: bool = True, **kwargs: object) -> nn.Module:
    return _resnet("resnet18", pretrained)


@BACKBONE_REGISTRY.register()
def resnet50(pretrained: bool = True, **kwargs: object) -> nn.Module:
    return _resnet("resnet50", pretrained)


@BACKBONE_REGISTRY.register()
def resnet101(pretrained: bool = True, **kwargs: object) -> nn.Module:
    return _resnet("resnet101", pretrained)
