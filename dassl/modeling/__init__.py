"""Backbones and heads of the plain classifier; the prompt-learning methods bring their own models."""

from .backbone import BACKBONE_REGISTRY, build_backbone
from .head import HEAD_REGISTRY, build_head
from .network import NETWORK_REGISTRY, build_network

__all__ = [
    "BACKBONE_REGISTRY",
    "HEAD_REGISTRY",
    "NETWORK_REGISTRY",
    "build_backbone",
    "build_head",
    "build_network",
]
