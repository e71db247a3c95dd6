"""A frozen CLIP whose towers `clip.model.CLIP` cannot hold: a timm image tower, a text tower without a causal mask, ...

Parts that both classes have bear the names of that class (`visual`, `transformer`, `token_embedding`, ...).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from . import openai_clip
from .architecture import image_sizes, text_sizes
from .backbone_spec import BackboneSpec
from .build import build_vit, refit
from .errors import InputError
from .tokenizer import EXTRA


class OtherCLIP(nn.Module):
    """The towers that a `BackboneSpec` describes, without forward passes: `ImageEncoder` and `TextEncoder` run them.

    visual: OpenAI's ViT or ResNet, or open_clip's `TimmModel`. The text tower is in OpenAI's layout, with
    `text_projection` [width, d] and `text_bias` [d], each possibly None; or it is `text_model`, one of transformers.
    """

    visual: Any
    transformer: Any
    logit_scale: Tensor
    text_model: Any
    clipkit_spec: BackboneSpec
    text_projection: Tensor | None
    text_bias: Tensor | None
    logit_bias: Tensor | None

    def __init__(self) -> None:
        super().__init__()
        self.half_towers = False

    @property
    def dtype(self) -> torch.dtype:
        """The type that the towers compute in."""
        return torch.float16 if self.half_towers else self.logit_scale.dtype

    def to_half(self) -> None:
        """Linear maps, convolutions and projections to fp16, as OpenAI does; a timm or transformers tower whole."""
        self.half_towers = True
        for matrix in (self.text_projection, self.text_bias):
            if matrix is not None:
                matrix.data = matrix.data.half()
        own = (openai_clip.VisionTransformer, openai_clip.ModifiedResNet, openai_clip.Transformer)
        for part in (self.visual, getattr(self, "transformer", None), getattr(self, "text_model", None)):
            if isinstance(part, own):
                openai_clip.convert_weights(part)
            elif part is not None:
                part.half()


def other_clip(weights: Mapping[str, Tensor], spec: BackboneSpec, embed_dim: int, text_config: object) -> OtherCLIP:
    """An empty model, on the meta device where its parts can be, for these weights.

    weights: names and shapes, without a leading "text.". text_config: the configuration of a transformers tower.
    """
    model = OtherCLIP()
    if spec.text.hf:
        _add_hf(model, spec, embed_dim, text_config)
    with torch.device("meta"):
        model.logit_scale = nn.Parameter(torch.ones([]))
        model.logit_bias = nn.Parameter(torch.ones([])) if spec.logit_bias else None
        if not spec.text.hf:
            _add_text(model, weights, spec, embed_dim)
        if spec.image.kind == "vit":
            model.visual = build_vit(*image_sizes(weights), embed_dim, spec.image)
        elif spec.image.kind == "resnet":
            size, layers, width, _ = image_sizes(weights)
            model.visual = openai_clip.ModifiedResNet(layers, embed_dim, spec.image.heads, size, width)
    if spec.image.kind == "timm":
        model.visual = timm_tower(spec, embed_dim)
        model.visual.output_dim, model.visual.input_resolution = embed_dim, model.visual.image_size[0]
    return model


def _add_text(model: OtherCLIP, weights: Mapping[str, Tensor], spec: BackboneSpec, embed_dim: int) -> None:
    length, vocabulary, width, layers = text_sizes(weights)
    model.transformer = openai_clip.Transformer(width, layers, spec.text.heads)
    refit(model.transformer, spec.text)
    model.token_embedding = nn.Embedding(vocabulary, width)
    model.positional_embedding = nn.Parameter(torch.empty(length, width))
    model.ln_final = nn.LayerNorm(width, eps=spec.text.eps)
    kind = spec.text.projection
    model.text_projection = None if kind == "none" else nn.Parameter(torch.empty(width, embed_dim))
    model.text_bias = nn.Parameter(torch.empty(embed_dim)) if kind == "linear" else None


def _add_hf(model: OtherCLIP, spec: BackboneSpec, embed_dim: int, config: object) -> None:
    """A tower of transformers and its projection, under the names of open_clip's `HFTextEncoder`."""
    from transformers import AutoModel

    with torch.random.fork_rng(devices=[]):  # not on the meta device: it has constants that no file of weights holds
        tower = AutoModel.from_config(config, add_pooling_layer=spec.text.pool == "pooler")
    width = tower.config.hidden_size
    model.text_model = nn.Module()
    model.text_model.transformer = tower
    if spec.text.projection == "mlp":
        hidden = (width + embed_dim) // 2
        first, last = nn.Linear(width, hidden, bias=False), nn.Linear(hidden, embed_dim, bias=False)
        model.text_model.proj = nn.Sequential(first, nn.GELU(), last)
    elif spec.text.projection == "matrix":
        model.text_model.proj = nn.Linear(width, embed_dim, bias=False)
    else:
        model.text_model.proj = nn.Identity()
    model.text_projection = model.text_bias = None


def timm_tower(spec: BackboneSpec, embed_dim: int) -> nn.Module:
    """open_clip's wrapper of a timm model, randomly initialised. Raises InputError without open_clip or timm, and for a
    model that this timm does not have."""
    try:
        from open_clip.timm_model import TimmModel
        from timm import is_model
    except ImportError as error:
        raise InputError(f"This backbone's image tower needs open_clip and timm: {EXTRA}") from error
    settings = json.loads(spec.image.timm)
    name = settings["timm_model_name"]
    if not is_model(name):
        raise InputError(
            f"The installed timm has no model {name}, the image tower of this backbone: pip install -U timm"
        )
    with torch.random.fork_rng(devices=[]):
        return TimmModel(
            name, embed_dim, settings.get("image_size", 224), settings.get("timm_pool", "avg"),
            settings.get("timm_proj", "linear"), settings.get("timm_proj_bias", False),
        )  # fmt: skip


def own_names(weights: Mapping[str, Tensor], spec: BackboneSpec) -> dict[str, Tensor]:
    """The weights under the names of `OtherCLIP`, from open_clip's."""
    found = {}
    for key, value in weights.items():
        own = key.removeprefix("text.") if spec.custom_text else key
        if spec.text.hf and key.startswith("text."):
            own = f"text_model.{own}"
            if own.endswith("embeddings.position_ids"):  # a constant that older files hold
                continue
        found[own] = value
    if spec.text.projection == "linear" and "text_projection.weight" in found:
        found["text_projection"] = found.pop("text_projection.weight").T.contiguous()
        found["text_bias"] = found.pop("text_projection.bias")
    for key in ("logit_scale", "logit_bias"):
        if key in found and found[key].shape == (1,):  # older files of open_clip
            found[key] = found[key][0]
    return found
