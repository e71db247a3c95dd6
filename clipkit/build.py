"""Builds an empty CLIP of OpenAI's layout for given sizes and spec, on the meta device."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from . import openai_clip
from .architecture import Architecture
from .backbone_spec import BackboneSpec, ImageSpec, TextSpec, openai_spec

ACTIVATIONS = {"gelu": lambda: nn.GELU(), "gelu_tanh": lambda: nn.GELU(approximate="tanh")}


def build_empty(architecture: Architecture, spec: BackboneSpec | None = None) -> openai_clip.CLIP:
    """A CLIP without weights: no time and no random draws are spent on values to be overwritten.

    architecture: the sizes that the weights show; the heads in it are not read. spec: default is OpenAI's code.
    """
    spec = spec or openai_spec(architecture)
    sizes = architecture._replace(text_heads=spec.text.heads)
    with torch.device("meta"):
        if spec.image.kind == "resnet":
            model = openai_clip.CLIP(*sizes)
        else:  # OpenAI's class takes heads of 64, so a tower of that width stands in until the right one is built
            model = openai_clip.CLIP(*sizes._replace(vision_layers=1, vision_width=64))
            size, layers, width, patch = sizes[1:5]
            model.visual = build_vit(size, layers, width, patch, sizes.embed_dim, spec.image)
        refit(model.transformer, spec.text)
    model.ln_final.eps = spec.text.eps
    return model


def build_vit(
    size: int, layers: Any, width: int, patch: int | None, embed_dim: int, spec: ImageSpec
) -> openai_clip.VisionTransformer:
    """OpenAI's ViT with the heads, MLPs, activation and layer norms of the spec, on torch's current default device."""
    visual = openai_clip.VisionTransformer(size, patch, width, layers, spec.heads, embed_dim)
    refit(visual.transformer, spec)
    visual.ln_pre.eps = visual.ln_post.eps = spec.eps
    return visual


def refit(transformer: Any, spec: TextSpec | ImageSpec) -> None:
    """Gives the blocks the MLP width, the activation and the epsilon of the spec; their heads are right already."""
    for block in transformer.resblocks:
        width = block.ln_1.weight.shape[0]
        if spec.hidden != 4 * width:
            block.mlp.c_fc, block.mlp.c_proj = nn.Linear(width, spec.hidden), nn.Linear(spec.hidden, width)
        if spec.activation in ACTIVATIONS:
            block.mlp.gelu = ACTIVATIONS[spec.activation]()
        block.ln_1.eps = block.ln_2.eps = spec.eps
