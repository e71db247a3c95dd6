"""Reads open_clip's configuration of a model (`open_clip_config.json`) as a `BackboneSpec`.

Every setting in it is understood, known to have no effect on features, or refused by its name: to skip a setting
silently could mean wrong features silently. Defaults are those of open_clip 3.3 (`CLIPVisionCfg`, `CLIPTextCfg`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .backbone_spec import BPE, OPENAI_MEAN, OPENAI_STD, BackboneSpec, ImageSpec, Preprocess, TextSpec
from .errors import InputError

CONFIG = "open_clip_config.json"  # beside the weights in a folder of the Hugging Face hub

# Settings without an effect on the features of a trained model.
NO_EFFECT = {
    "patch_dropout", "output_tokens", "timm_drop", "timm_drop_path", "timm_model_pretrained", "hf_model_pretrained",
    "attn_pooler_queries", "attn_pooler_heads", "init_logit_scale", "nonscalar_logit_scale",
}  # fmt: skip
MODEL = {"embed_dim", "vision_cfg", "text_cfg", "quick_gelu", "custom_text", "init_logit_bias"}
# {setting: default}: only the structure of the default value is supported.
FIXED_VISION = {"no_ln_pre": False, "final_ln_after_pool": False, "pool_type": "tok", "attentional_pool": False,
                "pos_embed_type": "learnable", "ls_init_value": None}  # fmt: skip
FIXED_TEXT = {"final_ln_after_pool": False, "embed_cls": False, "ls_init_value": None}
VISION = {"layers", "width", "head_width", "mlp_ratio", "patch_size", "image_size", "act_kwargs", "norm_kwargs"}
TIMM = {"timm_model_name", "timm_pool", "timm_proj", "timm_proj_bias", "image_size"}
TEXT = {"context_length", "vocab_size", "width", "heads", "layers", "mlp_ratio", "pool_type", "no_causal_mask",
        "proj_type", "proj_bias", "act_kwargs", "norm_kwargs", "pad_id", "eos_id", "hf_tokenizer_name",
        "tokenizer_kwargs"}  # fmt: skip
HF = {"hf_model_name", "hf_proj_type", "hf_pooler_type", "context_length", "hf_tokenizer_name", "tokenizer_kwargs"}
# Not read for a tower of transformers, whose own configuration has them.
HF_UNREAD = {"vocab_size", "width", "heads", "layers"}
POOLERS = {"mean_pooler": "mean", "cls_last_hidden_state_pooler": "cls", "cls_pooler": "pooler"}


class _Unread(Exception):
    """The configuration has a setting of a structure that is not supported; the message names it."""


def read_config(file: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """(model_cfg, preprocess_cfg) in the file. Raises InputError if it is no open_clip configuration."""
    try:
        found = json.loads(file.read_text(encoding="utf-8-sig"))
        model = dict(found.get("model_cfg", found))
        model["vision_cfg"], model["text_cfg"] = dict(model["vision_cfg"]), dict(model["text_cfg"])
        given = found.get("preprocess_cfg")
        return model, dict(given) if isinstance(given, Mapping) else {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{os.fspath(file)} is no open_clip configuration (JSON with model_cfg, vision_cfg, text_cfg; "
            f"{type(error).__name__}): correct it, or remove it and give MODEL.BACKBONE.SPEC"
        ) from error


def spec_from_config(model: Mapping[str, Any], preprocess: Mapping[str, Any], where: str) -> BackboneSpec:
    """The spec of a model_cfg and preprocess_cfg. Raises InputError naming the settings that are not known here;
    `where` names their source."""
    try:
        unknown = _unknown("", model, MODEL)
        if unknown:
            raise _Unread(", ".join(unknown))
        vision, text, quick = model["vision_cfg"], model["text_cfg"], model.get("quick_gelu", False)
        if quick not in (True, False):
            raise _Unread(f"quick_gelu {quick}")
        custom = bool(model.get("custom_text", False)) or bool(text.get("hf_model_name"))
        return BackboneSpec(
            _text(text, quick, model["embed_dim"]),
            _image(vision, quick),
            _preprocess(preprocess, vision.get("image_size", 224)),
            custom_text=custom,
            logit_bias=model.get("init_logit_bias") is not None,
        )
    except _Unread as error:
        raise InputError(
            f"{where} describes a CLIP that cannot be read here: it has {error}, which is not known; "
            "docs/backbones.md lists the families that are"
        ) from None
    except (TypeError, ValueError, KeyError, AttributeError, ZeroDivisionError, IndexError) as error:
        what = f"{type(error).__name__} at {error}"
        raise InputError(f"{where} is no open_clip configuration ({what}): correct it") from error


def _unknown(prefix: str, given: Mapping[str, Any], known: set[str]) -> list[str]:
    """Names of the settings in `given` that are neither known nor without effect."""
    return [
        f"{prefix}{key} {value}" for key, value in given.items() if value and key not in known and key not in NO_EFFECT
    ]


def _fixed(prefix: str, given: Mapping[str, Any], fixed: Mapping[str, Any]) -> list[str]:
    return [f"{prefix}{key} {given[key]}" for key, value in fixed.items() if given.get(key, value) != value]


def _activation(cfg: Mapping[str, Any], quick: bool, prefix: str) -> str:
    kwargs = cfg.get("act_kwargs")
    if not kwargs:
        return "quick_gelu" if quick else "gelu"
    if quick or kwargs != {"approximate": "tanh"}:
        raise _Unread(f"{prefix}act_kwargs {kwargs}")
    return "gelu_tanh"


def _eps(cfg: Mapping[str, Any], prefix: str) -> float:
    kwargs = cfg.get("norm_kwargs") or {}
    if set(kwargs) - {"eps"}:
        raise _Unread(f"{prefix}norm_kwargs {kwargs}")
    return float(kwargs.get("eps", 1e-5))


def _image(cfg: Mapping[str, Any], quick: bool) -> ImageSpec:
    p = "vision_cfg."
    if cfg.get("timm_model_name"):
        wrong = _unknown(p, cfg, TIMM)
        if wrong:
            raise _Unread(", ".join(wrong))
        settings = {key: cfg[key] for key in sorted(TIMM) if key in cfg}
        return ImageSpec("timm", timm=json.dumps(settings, sort_keys=True))
    wrong = _unknown(p, cfg, VISION | set(FIXED_VISION)) + _fixed(p, cfg, FIXED_VISION)
    layers, width, head = cfg.get("layers", 12), int(cfg.get("width", 768)), int(cfg.get("head_width", 64))
    if isinstance(layers, (list, tuple)):
        wrong += [f"{p}{key} {cfg[key]}" for key in ("act_kwargs", "norm_kwargs") if cfg.get(key)]
        if wrong:
            raise _Unread(", ".join(wrong))
        return ImageSpec("resnet", heads=width * 32 // head)
    if width % head:
        wrong.append(f"{p}head_width {head} (no divisor of the width {width})")
    if wrong:
        raise _Unread(", ".join(wrong))
    hidden = int(width * cfg.get("mlp_ratio", 4.0))
    return ImageSpec("vit", _activation(cfg, quick, p), width // head, hidden, _eps(cfg, p))


def _text(cfg: Mapping[str, Any], quick: bool, embed_dim: int) -> TextSpec:
    p = "text_cfg."
    tokenizer = cfg.get("hf_tokenizer_name") or BPE
    options = dict(cfg.get("tokenizer_kwargs") or {})
    clean = options.pop("clean", "whitespace" if tokenizer != BPE else "lower")
    if options or clean not in ("whitespace", "lower", "canonicalize") or (tokenizer == BPE and clean != "lower"):
        raise _Unread(f"{p}tokenizer_kwargs {cfg['tokenizer_kwargs']}")
    clean = "whitespace" if tokenizer == BPE else clean  # OpenAI's tokenizer has its own cleaning
    length = int(cfg.get("context_length", 77))
    if cfg.get("hf_model_name"):
        return _hf(cfg, length, tokenizer, clean)
    wrong = _unknown(p, cfg, TEXT | set(FIXED_TEXT)) + _fixed(p, cfg, FIXED_TEXT)
    width, heads, pool = int(cfg.get("width", 512)), int(cfg.get("heads", 8)), cfg.get("pool_type", "argmax")
    if pool not in ("argmax", "eos", "last"):
        wrong.append(f"{p}pool_type {pool}")
    mask = "none" if cfg.get("no_causal_mask") else "causal"
    if tokenizer == BPE and pool == "eos":
        wrong.append(f"{p}pool_type eos without hf_tokenizer_name")
    if tokenizer == BPE and cfg.get("vocab_size", 49408) != 49408:
        wrong.append(f"{p}vocab_size {cfg['vocab_size']} without hf_tokenizer_name")
    if pool == "last" and mask == "causal":
        wrong.append(f"{p}pool_type last under a causal mask")
    kind = cfg.get("proj_type", "linear")
    if kind not in ("linear", "none"):
        wrong.append(f"{p}proj_type {kind}")
    if width % heads:
        wrong.append(f"{p}heads {heads} (no divisor of the width {width})")
    if wrong:
        raise _Unread(", ".join(wrong))
    projection = "none" if kind == "none" else "linear" if cfg.get("proj_bias") else "matrix"
    return TextSpec(
        _activation(cfg, quick, p), heads, int(width * cfg.get("mlp_ratio", 4.0)), _eps(cfg, p), mask, pool, length,
        int(cfg.get("pad_id", 0)), int(cfg.get("eos_id", 2)), projection, tokenizer, clean,
    )  # fmt: skip


def _hf(cfg: Mapping[str, Any], length: int, tokenizer: str, clean: str) -> TextSpec:
    """A text tower of transformers; heads, widths and activation are in its own configuration."""
    p = "text_cfg."
    wrong = _unknown(p, cfg, HF | HF_UNREAD | set(FIXED_TEXT) | TEXT)
    pooler, projection = cfg.get("hf_pooler_type", "mean_pooler"), cfg.get("hf_proj_type", "mlp")
    name = str(cfg["hf_model_name"])
    if any(kind in name.lower() for kind in ("t5", "nllb", "m2m")):  # encoders with other positions or norms
        wrong.append(f"{p}hf_model_name {name}")
    if pooler not in POOLERS:
        wrong.append(f"{p}hf_pooler_type {pooler}")
    if projection not in ("mlp", "linear", None):
        wrong.append(f"{p}hf_proj_type {projection}")
    if tokenizer == BPE:
        wrong.append(f"{p}hf_model_name without hf_tokenizer_name")
    if wrong:
        raise _Unread(", ".join(wrong))
    kind = {"mlp": "mlp", "linear": "matrix", None: "none"}[projection]
    return TextSpec("", 0, 0, 0.0, "padding", POOLERS[pooler], length, 0, 2, kind, tokenizer, clean, name)


def _preprocess(cfg: Mapping[str, Any], size: Any) -> Preprocess:
    size = cfg.get("size") or size
    if isinstance(size, (list, tuple)):
        if len(set(size)) != 1:
            raise _Unread(f"images of {list(size)} pixels, no squares")
        size = size[0]
    mean, std = cfg.get("mean") or OPENAI_MEAN, cfg.get("std") or OPENAI_STD
    interpolation, mode = cfg.get("interpolation") or "bicubic", cfg.get("resize_mode") or "shortest"
    if interpolation not in ("bicubic", "bilinear"):
        raise _Unread(f"preprocess_cfg.interpolation {interpolation}")
    if mode not in ("shortest", "squash"):
        raise _Unread(f"preprocess_cfg.resize_mode {mode}")
    if cfg.get("mode", "RGB") != "RGB":
        raise _Unread(f"preprocess_cfg.mode {cfg['mode']}")
    return Preprocess(int(size), tuple(map(float, mean)), tuple(map(float, std)), interpolation, mode)
