"""Whether a file of weights may be read as a CLIP of OpenAI's structure.

Names and shapes of the weights do not tell the activation (QuickGELU, or GELU), the attention heads, which token is
pooled, the mask, or the tokenizer: open_clip's models have OpenAI's names and, read as OpenAI's, give other features
without an error. So a file must be known, or state its structure, or the user must (MODEL.BACKBONE.SPEC).
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path

import safetensors

from .architecture import Architecture
from .errors import InputError
from .files import sha256
from .torch_file import is_safetensors
from .weights import EMBEDDED_FILE

logger = logging.getLogger(__name__)

KEY = "MODEL.BACKBONE.SPEC"
OPENAI_SPEC = "openai"
CONFIG = "open_clip_config.json"  # beside the weights in a folder of the Hugging Face hub
STATEMENT = "clip_structure"  # entry of a .safetensors file's own metadata
MARKS = (
    "input_resolution",
    "context_length",
    "vocab_size",
)  # entries beside the weights that only OpenAI's archives have
VOCABULARY = 49408  # of OpenAI's tokenizer, the only one here
VIT_H = 1280  # vision width of all ViT-H: 16 heads of 80, where OpenAI's code would take 20 of 64

# open_clip's settings of a model: (its default, OpenAI's value). Others must be empty or absent, or in HARMLESS.
COMMON = {"mlp_ratio": (4.0, 4.0), "ls_init_value": (None, None), "final_ln_after_pool": (False, False)}
MODEL = {"quick_gelu": (False, True), "custom_text": (False, False), "embed_dim": None, "vision_cfg": None,
         "text_cfg": None}  # fmt: skip
VISION = {**COMMON, "head_width": (64, 64), "pool_type": ("tok", "tok"), "no_ln_pre": (False, False),
          "attentional_pool": (False, False), "global_average_pool": (False, False),
          "input_patchnorm": (False, False), "pos_embed_type": ("learnable", "learnable"),
          "timm_model_name": (None, None)}  # fmt: skip
TEXT = {**COMMON, "pool_type": ("argmax", "argmax"), "no_causal_mask": (False, False), "embed_cls": (False, False),
        "proj_type": ("linear", "linear"), "proj_bias": (False, False), "hf_model_name": (None, None),
        "hf_tokenizer_name": (None, None)}  # fmt: skip
HARMLESS = {"patch_dropout", "output_tokens", "timm_pool", "timm_proj", "timm_proj_bias", "timm_drop", "timm_drop_path",
            "timm_model_pretrained", "pad_id"}  # fmt: skip
PREPROCESS = {"mean": [0.48145466, 0.4578275, 0.40821073], "std": [0.26862954, 0.26130258, 0.27577711],
              "interpolation": "bicubic", "resize_mode": "shortest"}  # fmt: skip


def check_structure(file: Path, architecture: Architecture, marks: Mapping, spec: str = "") -> None:
    """Raises InputError unless the weights in `file` are known or stated to be of OpenAI's structure.

    architecture: what their shapes say. marks: which of `MARKS` stand beside them. spec: MODEL.BACKBONE.SPEC: "openai"
    where the user vouches for the file, or an open_clip configuration (JSON); by default the one beside the file.
    """
    _refuse_what_shapes_rule_out(file, architecture)
    config = file.parent / CONFIG
    if spec and spec != OPENAI_SPEC:
        config = Path(spec).expanduser()
        if not os.path.isfile(config):
            raise InputError(
                f"{KEY} is {spec!r}, but must be {OPENAI_SPEC}, or the file of an open_clip configuration ({CONFIG})"
            )
    if os.path.isfile(config):
        _check_config(file, config, architecture)
    elif spec != OPENAI_SPEC and not (set(MARKS) <= set(marks) or _says_so(file) or _is_embedded(file)):
        raise InputError(
            f"{file} (MODEL.BACKBONE.PATH) has the names and shapes of a CLIP, which do not tell its activation "
            f"(QuickGELU or GELU), attention heads, pooling and tokenizer: give {KEY} {OPENAI_SPEC} if they are those "
            f"of OpenAI's code (its own weights, or weights fine-tuned from them), or put the model's {CONFIG} "
            "beside it"
        )


def _refuse_what_shapes_rule_out(file: Path, found: Architecture) -> None:
    wrong = ""
    if found.vocab_size != VOCABULARY:
        wrong = f"a vocabulary of {found.vocab_size:,} tokens, but OpenAI's tokenizer has {VOCABULARY:,}"
    elif found.patch and found.vision_width == VIT_H:
        wrong = f"an image tower {VIT_H} wide (ViT-H), whose 16 heads of 80 OpenAI's code does not have"
    elif found.text_width % 64 or (found.patch and found.vision_width % 64):
        wrong = "towers whose widths are no multiples of 64, the width of a head in OpenAI's code"
    if wrong:
        raise InputError(f"{file} (MODEL.BACKBONE.PATH) holds a CLIP that cannot be read here: it has {wrong}")


def _check_config(file: Path, config: Path, architecture: Architecture) -> None:
    """open_clip's configuration of the model must describe OpenAI's structure, and these weights."""
    try:
        found = json.loads(config.read_text(encoding="utf-8-sig"))
        model = dict(found.get("model_cfg", found))
        vision, text = dict(model["vision_cfg"]), dict(model["text_cfg"])
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{config} is no open_clip configuration (JSON with model_cfg, vision_cfg, text_cfg; "
            f"{type(error).__name__}): mend it, or take it away and give {KEY}"
        ) from error
    a = architecture
    layers = list(a.vision_layers) if isinstance(a.vision_layers, tuple) else a.vision_layers
    shapes = {"image_size": a.image_size, "layers": layers, "width": a.vision_width, "patch_size": a.patch}
    names = {"context_length": 77, "vocab_size": VOCABULARY, "heads": 8, "width": 512, "layers": 12}  # the defaults
    texts = dict(zip(names, (a.context_length, a.vocab_size, a.text_heads, a.text_width, a.text_layers), strict=True))
    differences = [
        *_differences("", model, MODEL, {"embed_dim": a.embed_dim}),
        *_differences("vision_cfg.", vision, VISION, shapes),
        *_differences("text_cfg.", names | text, TEXT, texts),
    ]
    if differences:
        raise InputError(
            f"{file} (MODEL.BACKBONE.PATH) holds a CLIP that cannot be read here: {config} says "
            f"{', '.join(differences)}; only OpenAI's structure is known"
        )
    given = found.get("preprocess_cfg") if isinstance(found.get("preprocess_cfg"), Mapping) else {}
    for key, value in PREPROCESS.items():
        if key in given and given[key] != value:
            logger.warning(
                "Warning: %s says %s %s, which is not OpenAI's: set INPUT.PIXEL_MEAN, INPUT.PIXEL_STD and "
                "INPUT.INTERPOLATION to what the model was trained with", config, key, given[key],
            )  # fmt: skip


def _differences(prefix: str, given: Mapping, known: Mapping, shapes: Mapping) -> list[str]:
    found = []
    for key, value in given.items():
        if key in shapes:
            if value != shapes[key]:
                found.append(f"{prefix}{key} {value} (the weights: {shapes[key]})")
        elif key not in known and key not in HARMLESS and value:
            found.append(f"{prefix}{key} {value}")
    for key, values in known.items():
        if values is not None and given.get(key, values[0]) != values[1]:
            found.append(f"{prefix}{key} {given.get(key, values[0])} (OpenAI's: {values[1]})")
    return found


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
