"""Replaces the image tower of a CLIP: robust ones (TeCoA, Mao et al., ICLR 2023) are published as the tower alone.

The text tower and the logit scale stay. The tower is part of the model's fingerprint, and so of every cache's key.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from .errors import InputError
from .files import sha256
from .load import load_clip
from .openai_clip import CLIP
from .torch_file import read_torch_file, state_dict_in, unusable

SETTING = "MODEL.BACKBONE.VISUAL_WEIGHTS"
USUAL_KEY = "vision_encoder_state_dict"  # beside "state_dict"
PREFIX = "visual."


def load_backbone(backbone: Mapping, precision: str = "fp32", device: str | torch.device = "cpu") -> CLIP:
    """`load_clip` with what a config's MODEL.BACKBONE says: NAME, PATH, SPEC, VISUAL_WEIGHTS, VISUAL_WEIGHTS_KEY."""
    model = load_clip(backbone["NAME"], backbone.get("PATH", ""), precision, device, spec=backbone.get("SPEC", ""))
    if backbone.get("VISUAL_WEIGHTS", ""):
        load_visual_weights(model, backbone["VISUAL_WEIGHTS"], backbone.get("VISUAL_WEIGHTS_KEY", ""))
    return model


def load_visual_weights(model: CLIP, path: str | Path, key: str = "") -> str:
    """Puts the image tower in `path` into a CLIP, in the precision that it has; returns the file's SHA-256 (hex).

    path: .safetensors, or a torch.save of the tower's state dict, or of a dict with that under `key` (empty: the usual
    ones are tried). Names may begin with "visual." or "module.". The hash is kept as `model.visual_weights`.

    Raises InputError for a missing or damaged file, a key that is not there, and any weight that is missing, unknown,
    of another shape or not a finite number.
    """
    path = Path(path).expanduser()
    if not os.path.isfile(path):
        raise InputError(f"There are no weights of an image tower at {path} ({SETTING}): give the path of a file.")
    try:
        found = read_torch_file(path)
    except InputError as error:
        raise InputError(f"{SETTING}: {error}") from error
    weights = _state(found, key, path)
    expected = model.visual.state_dict()
    for name in expected:
        if name.endswith("num_batches_tracked"):  # unused in eval mode
            weights.setdefault(name, expected[name])
    wrong = sorted(set(expected) ^ set(weights))
    why = f"{len(wrong)} missing or unknown weights, first {wrong[0]!r}" if wrong else None
    for name in expected:
        why = why or unusable(name, weights[name], expected[name])
    if why:
        name = getattr(model, "backbone_name", "this backbone")
        raise InputError(f"{path} ({SETTING}) does not fit the image tower of {name}: {why}.")
    model.visual.load_state_dict(weights)
    model._clipkit_fingerprint = None  # the weights have changed
    model.visual_weights = sha256(path)
    return model.visual_weights


def _state(found: object, key: str, path: Path) -> dict[str, Tensor]:
    """The state dict in what the file holds."""
    if isinstance(found, Mapping):
        if key and key in found:
            found = found[key]
        elif key and not _is_state(found):
            keys = ", ".join(map(str, list(found)[:6]))
            raise InputError(f"{path} ({SETTING}) has no {key!r} ({SETTING}_KEY); its keys are {keys}.")
        elif not _is_state(found):
            found = found.get(USUAL_KEY, found)
    try:
        return _plain_names(state_dict_in(found, path))
    except InputError as error:
        where = f"; say where it is with {SETTING}_KEY" if isinstance(found, Mapping) else ""
        raise InputError(f"{SETTING}: {error}{where}.") from error


def _is_state(found: Mapping) -> bool:
    return bool(found) and all(isinstance(value, Tensor) for value in found.values())


def _plain_names(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    if all(name.startswith(PREFIX) for name in weights):
        return {name.removeprefix(PREFIX): value for name, value in weights.items()}
    return weights
