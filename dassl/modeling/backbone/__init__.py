"""Image backbones: modules with an attribute `out_features` that map images to features."""

from .backbone import Backbone
from .build import BACKBONE_REGISTRY, build_backbone
from .resnet import resnet18, resnet50, resnet101

__all__ = ["BACKBONE_REGISTRY", "Backbone", "build_backbone", "resnet18", "resnet50", "resnet101"]
