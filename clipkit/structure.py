"""Finds out which structure a file of weights is of: OpenAI's, or another one that the file states.

Names and shapes of the weights do not tell the activation (QuickGELU, or GELU), the attention heads, which token is
pooled, the mask, or the tokenizer: open_clip's models have OpenAI's names and, read as OpenAI's, give other features
without an error. So a file must be known, or state its structure, or the user must (MODEL.BACKBONE.SPEC).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
from torch import Tensor

from .architecture import Architecture, image_sizes, text_sizes
from .errors import InputError
from .files import sha256
from .open_clip_config import CONFIG
from .torch_file import is_safetensors
from .weights import EMBEDDED_FILE

KEY = "MODEL.BACKBONE.SPEC"
OPENAI_SPEC = "openai"
STATEMENT = "clip_structure"  # entry of a .safetensors file's own metadata
MARKS = (
    "input_resolution",
    "context_length",
    "vocab_size",
)  # entries beside the weights that only OpenAI's archives have
VOCABULARY = 49408  # of OpenAI's tokenizer
VIT_H = 1280  # vision width of all ViT-H: 16 heads of 80, where OpenAI's code would take 20 of 64


def config_of(file: Path, spec: str) -> Path | None:
    """The open_clip configuration that describes the weights in `file`: the one that `spec` (MODEL.BACKBONE.SPEC)
    names, or else the one beside them; None without one. Raises InputError for a `spec` that is neither "openai" nor a
    file."""
    if spec and spec != OPENAI_SPEC:
        config = Path(spec).expanduser()
        if not os.path.isfile(config):
            raise InputError(
                f"{KEY} is {spec!r}, but must be {OPENAI_SPEC}, or the file of an open_clip configuration ({CONFIG})"
            )
        return config
    beside = file.parent / CONFIG
    return beside if os.path.isfile(beside) else None


def check_known(file: Path, marks: Mapping[str, object], spec: str) -> None:
    """Raises InputError unless a file without a configuration is known or stated to be of OpenAI's structure.

    marks: which of `MARKS` stand beside its weights. spec: MODEL.BACKBONE.SPEC: "openai" where the user vouches for it.
    """
    if spec != OPENAI_SPEC and not (set(MARKS) <= set(marks) or _says_so(file) or _is_embedded(file)):
        raise InputError(
            f"{file} (MODEL.BACKBONE.PATH) has the names and shapes of a CLIP, which do not tell its activation "
            f"(QuickGELU or GELU), attention heads, pooling and tokenizer: give {KEY} {OPENAI_SPEC} if they are those "
            f"of OpenAI's code (its own weights, or weights fine-tuned from them), or put the model's {CONFIG} "
            "beside it"
        )


def check_shapes(file: Path, found: Architecture) -> None:
    """Raises InputError for shapes that no model of OpenAI's structure has, even if the file states that structure."""
    wrong = ""
    if found.vocab_size != VOCABULARY:
        wrong = f"a vocabulary of {found.vocab_size:,} tokens, but OpenAI's tokenizer has {VOCABULARY:,}"
    elif found.patch and found.vision_width == VIT_H:
        wrong = f"an image tower {VIT_H} wide (ViT-H), whose 16 heads of 80 OpenAI's code does not have"
    elif found.text_width % 64 or (found.patch and found.vision_width % 64):
        wrong = "towers whose widths are no multiples of 64, the width of a head in OpenAI's code"
    if wrong:
        raise InputError(
            f"{file} (MODEL.BACKBONE.PATH) is not of OpenAI's structure: it has {wrong}; put the model's {CONFIG} "
            f"beside it, or give it as {KEY}"
        )


def check_sizes(where: str, model: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
    """Raises InputError unless the sizes that a configuration states are those of the weights, as far as their towers
    are of OpenAI's layout; others are built from the configuration, and take no weights of other shapes."""
    vision, text = model["vision_cfg"], model["text_cfg"]
    pairs: list[tuple[str, object, object]] = []
    if "timm_model_name" not in vision:
        size, blocks, width, patch = image_sizes(weights)
        pairs += [
            ("vision_cfg.layers", vision.get("layers", 12), list(blocks) if isinstance(blocks, tuple) else blocks),
            ("vision_cfg.width", vision.get("width", 768), width),
            ("vision_cfg.image_size", vision.get("image_size", 224), size),
            ("vision_cfg.patch_size", vision.get("patch_size", 16) if patch else None, patch),
        ]
    if "hf_model_name" not in text:
        length, vocabulary, width, layers = text_sizes(weights)
        pairs += [
            ("text_cfg.context_length", text.get("context_length", 77), length),
            ("text_cfg.vocab_size", text.get("vocab_size", VOCABULARY), vocabulary),
            ("text_cfg.width", text.get("width", 512), width),
            ("text_cfg.layers", text.get("layers", 12), layers),
        ]
    projection = weights.get("text_projection")
    if projection is not None:
        pairs.insert(0, ("embed_dim", model["embed_dim"], projection.shape[1]))
    differences = [f"{key} {says} (the weights: {has})" for key, says, has in pairs if says != has]
    if differences:
        found = ", ".join(differences)
        raise InputError(f"{where} describes other weights: it says {found}; give the configuration of these")


def _says_so(file: Path) -> bool:
    """Whether it is a .safetensors file whose metadata state OpenAI's structure."""
    if not is_safetensors(file):
        return False
    with safetensors.safe_open(file, framework="pt") as opened:
        return (opened.metadata() or {}).get(STATEMENT) == OPENAI_SPEC


def _is_embedded(file: Path) -> bool:
    """Whether it is the CLIP file that comes with this package, or a copy of it."""
    if not EMBEDDED_FILE.is_file() or file.stat().st_size != EMBEDDED_FILE.stat().st_size:
        return False
    return sha256(file) == sha256(EMBEDDED_FILE)
