"""Models from weights in memory: of OpenAI's code, or of what an open_clip configuration describes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from . import openai_clip
from .architecture import read_architecture
from .backbone_spec import BackboneSpec, openai_spec
from .build import build_empty
from .errors import InputError
from .hf_text import text_config
from .open_clip_config import spec_from_config
from .other_clip import OtherCLIP, other_clip, own_names
from .structure import MARKS, check_sizes
from .tokenizer import make_tokenizer
from .torch_file import unusable


def openai_model(weights: Mapping[str, Tensor], file: Path, spec: BackboneSpec | None = None) -> openai_clip.CLIP:
    """A `clip.model.CLIP` with these weights, under OpenAI's names. spec: its activation, heads and so on; None: those
    of OpenAI's code. file: where the weights come from, for messages. Raises InputError if they do not fit."""
    weights = {key: value.detach() for key, value in weights.items() if key not in MARKS}
    architecture = read_architecture(weights, str(file))
    spec = spec or openai_spec(architecture)
    model = build_empty(architecture, spec)
    assign(model, weights, f"{file} does not fit OpenAI's CLIP")
    mask = model.build_attention_mask()  # a plain attribute, so it is still on the meta device
    for block in model.transformer.resblocks:
        block.attn_mask = mask
    return equipped(model, spec)


def configured(
    weights: Mapping[str, Tensor], settings: Mapping[str, Any], preprocess: Mapping[str, Any], file: Path, where: str
) -> openai_clip.CLIP | OtherCLIP:
    """The model with these weights that an open_clip configuration describes.

    settings, preprocess: its model_cfg and preprocess_cfg. file: the weights' file; tokenizers and configurations of
    transformers are looked for in its folder first. `where` names the configuration in errors.
    Raises InputError for a structure that is not known, weights that do not fit it, and a package that is missing.
    """
    spec = spec_from_config(settings, preprocess, where)
    own = own_names({key: value.detach() for key, value in weights.items() if key not in MARKS}, spec)
    if spec.fits_openai_s_class:
        read_architecture(own, str(file))
        check_sizes(where, settings, own)
        return openai_model(own, file, spec)
    config = text_config(spec.text.hf, file.parent) if spec.text.hf else None
    try:
        check_sizes(where, settings, own)
        model = other_clip(own, spec, settings["embed_dim"], config)
    except InputError:  # a sentence already, such as that of a missing package
        raise
    except (KeyError, IndexError, ValueError) as error:
        raise InputError(
            f"{file} does not hold the weights that {where} describes ({type(error).__name__} at {error})"
        ) from error
    assign(model, own, f"{file} does not fit {where}")
    return equipped(model, spec, file.parent)


def equipped(model: Any, spec: BackboneSpec, folder: Path | None = None) -> Any:
    """Attaches the spec, and the tokenizer that it names, to the model, and returns it."""
    model.clipkit_spec = spec
    model.clipkit_tokenizer = make_tokenizer(spec.text, folder)
    return model


def assign(model: nn.Module, weights: dict[str, Tensor], refusal: str) -> None:
    """Puts the weights into the model. Raises InputError, beginning with `refusal`, unless they are all there, of the
    model's shapes, and finite numbers."""
    expected = model.state_dict()
    for key in expected:
        if key.endswith("num_batches_tracked"):  # unused in eval mode; some exports leave it out
            weights.setdefault(key, torch.zeros((), dtype=torch.long))
    wrong = sorted(set(expected) ^ set(weights))
    if wrong:
        raise InputError(f"{refusal}: {len(wrong)} missing or unknown weights, first {wrong[0]!r}")
    for key, like in expected.items():
        if why := unusable(key, weights[key], like):
            raise InputError(f"{refusal}: {why}")
    model.load_state_dict(weights, assign=True)
