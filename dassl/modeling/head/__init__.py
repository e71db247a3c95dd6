"""Heads between backbone and classifier."""

from .build import HEAD_REGISTRY, build_head
from .mlp import mlp

__all__ = ["HEAD_REGISTRY", "build_head", "mlp"]
