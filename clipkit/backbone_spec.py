"""Settings of a CLIP that its weights do not show (activation, heads, mask, pooling, preprocessing ...): two files with
the same names and shapes may differ in them.

A spec is part of a backbone's fingerprint, and so of cached features and of the identity of a checkpoint.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace

from torch import nn

from .architecture import Architecture

OPENAI_MEAN, OPENAI_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
BPE = "openai"  # the tokenizer of OpenAI's CLIP


@dataclass(frozen=True)
class TextSpec:
    """A text tower. heads: of a block's attention. hidden: width of its MLP. length: tokens that it reads.

    activation: "quick_gelu", "gelu" or "gelu_tanh". eps: of the layer norms. mask: which tokens a token sees: "causal",
    "none" (all, padding too) or "padding" (all but padding). pool: which output is used: "argmax" (the token with the
    highest id), "eos" (the first `eos_id`), "last", "cls", "pooler" (CLS through BERT's pooler) or "mean". projection:
    "matrix" (without bias), "linear" (with bias), "mlp" or "none". tokenizer: "openai", or a name of the Hugging Face
    hub; clean: how it cleans a text. hf: name of a text tower of transformers, "" for one of CLIP's own layout.
    """

    activation: str
    heads: int
    hidden: int
    eps: float = 1e-5
    mask: str = "causal"
    pool: str = "argmax"
    length: int = 77
    pad_id: int = 0
    eos_id: int = 2
    projection: str = "matrix"
    tokenizer: str = BPE
    clean: str = "whitespace"
    hf: str = ""


@dataclass(frozen=True)
class ImageSpec:
    """An image tower. kind: "vit", "resnet" (both of OpenAI's layout) or "timm". Other fields as in `TextSpec`; a timm
    model has its own heads and activation, and is built from `timm`, the JSON text of its settings in open_clip."""

    kind: str
    activation: str = ""
    heads: int = 0
    hidden: int = 0
    eps: float = 1e-5
    timm: str = ""


@dataclass(frozen=True)
class Preprocess:
    """What the image tower was trained on. size: pixels per side. resize_mode: "shortest" (then a centre crop) or
    "squash" (to the square, without a crop)."""

    size: int
    mean: tuple[float, ...] = OPENAI_MEAN
    std: tuple[float, ...] = OPENAI_STD
    interpolation: str = "bicubic"
    resize_mode: str = "shortest"

    def as_config(self) -> dict[str, object]:
        """{config key: value} of a run with this preprocessing."""
        return {
            "INPUT.SIZE": (self.size, self.size),
            "INPUT.PIXEL_MEAN": list(self.mean),
            "INPUT.PIXEL_STD": list(self.std),
            "INPUT.INTERPOLATION": self.interpolation,
            "INPUT.RESIZE_MODE": self.resize_mode,
        }


@dataclass(frozen=True)
class BackboneSpec:
    """A backbone. custom_text: whether its text weights lie below "text."; logit_bias: whether it has one."""

    text: TextSpec
    image: ImageSpec
    preprocess: Preprocess
    custom_text: bool = False
    logit_bias: bool = False

    def canonical(self) -> str:
        """All of it as one line of JSON, the same for equal specs."""
        return json.dumps(asdict(self), sort_keys=True)

    @property
    def fits_openai_s_class(self) -> bool:
        """Whether `clip.model.CLIP`, with other activations, heads and widths, computes the same."""
        text = self.text
        plain = (text.mask, text.pool, text.projection, text.hf) == ("causal", "argmax", "matrix", "")
        return plain and self.image.kind != "timm" and not self.logit_bias

    @property
    def family(self) -> str:
        """A few words on the kind of backbone."""
        text = self.text
        if text.hf:
            return "E: text tower of transformers"
        if text.mask == "none":
            return "C: text without a mask" + (", read at its last token" if text.pool == "last" else "")
        if self.image.kind == "timm":
            return "B: causal text, timm image tower"
        return "A: OpenAI's layout" + ("" if text.tokenizer == BPE else ", other tokenizer")

    @property
    def savings(self) -> frozenset[str]:
        """Which shortcuts leave the text features unchanged: "cut" (nothing after the end token is computed), "groups"
        (prompts of like length, each group cut at its longest), "prefix" (a shared beginning is computed once)."""
        exact = {"causal": ("cut", "groups", "prefix"), "padding": ("cut", "groups"), "none": ()}
        return frozenset(exact[self.text.mask])


def openai_spec(a: Architecture) -> BackboneSpec:
    """The spec of OpenAI's code at these sizes: QuickGELU, heads of 64, MLPs four times as wide."""
    text = TextSpec("quick_gelu", a.text_width // 64, 4 * a.text_width, length=a.context_length)
    image = ImageSpec("resnet", heads=a.vision_width * 32 // 64)
    if a.patch:
        image = ImageSpec("vit", "quick_gelu", a.vision_width // 64, 4 * a.vision_width)
    return BackboneSpec(text, image, Preprocess(a.image_size))


def is_openai(spec: BackboneSpec, a: Architecture) -> bool:
    """Whether OpenAI's code gives the same features for the same pixels and texts. The ids of padding and end token are
    not compared: towers of OpenAI's kind do not read them."""
    known = openai_spec(a)
    text = replace(spec.text, pad_id=known.text.pad_id, eos_id=known.text.eos_id)
    return replace(spec, text=text, custom_text=False) == known


def spec_of(clip_model: nn.Module) -> BackboneSpec | None:
    """The spec that a loaded backbone carries; None for a bare `clip.model.CLIP`, which is of OpenAI's structure."""
    found = getattr(clip_model, "clipkit_spec", None)
    return found if isinstance(found, BackboneSpec) else None
