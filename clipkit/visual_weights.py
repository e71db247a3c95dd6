"""Another image tower in a CLIP: adversarially fine-tuned ones (TeCoA, Mao et al., ICLR 2023) come as the tower alone.

The text tower and the logit scale stay. The tower is part of the model's fingerprint, and so of every cache's key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn

from .checkpoint_file import load_inert
from .errors import InputError
from .load import load_clip

SETTING = "MODEL.BACKBONE.VISUAL_WEIGHTS"
USUAL_KEYS = ("vision_encoder_state_dict", "state_dict")
PREFIXES = ("module.", "visual.", "module.visual.")


def load_backbone(backbone: Mapping, precision: str = "fp32", device: str | torch.device = "cpu") -> nn.Module:
    """`load_clip` with what a config's MODEL.BACKBONE says: NAME, PATH, VISUAL_WEIGHTS, VISUAL_WEIGHTS_KEY."""
    model = load_clip(backbone["NAME"], backbone.get("PATH", ""), precision, device)
    if backbone.get("VISUAL_WEIGHTS", ""):
        load_visual_weights(model, backbone["VISUAL_WEIGHTS"], backbone.get("VISUAL_WEIGHTS_KEY", ""))
    return model


def load_visual_weights(model: nn.Module, path: str | Path, key: str = "") -> str:
    """Puts the image tower in `path` into a CLIP, in the precision that it has; returns the file's SHA-256 (hex).

    path: .safetensors, or a torch.save of the tower's state dict, or of a dict with that under `key` (empty: the usual
    ones are tried). Names may begin with "visual." or "module.". The hash is kept as `model.visual_weights`.

    Raises InputError for a missing or damaged file, a key that is not there, and any weight that is missing, unknown or
    of another shape.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise InputError(f"There are no weights of an image tower at {path} ({SETTING}).")
    weights = _plain_names(_state(_read(path), key, path))
    expected = model.visual.state_dict()
    for name in expected:
        if name.endswith("num_batches_tracked"):  # unused in eval mode
            weights.setdefault(name, expected[name])
    wrong = sorted(set(expected) ^ set(weights)) or [k for k in expected if expected[k].shape != weights[k].shape]
    if wrong:
        name = getattr(model, "backbone_name", "this backbone")
        raise InputError(
            f"{path} ({SETTING}) does not fit the image tower of {name}: {len(wrong)} missing, unknown or misshapen "
            f"weights, first {wrong[0]!r}."
        )
    model.visual.load_state_dict(weights)
    model._clipkit_fingerprint = None  # another model now
    model.visual_weights = _sha256(path)
    return model.visual_weights


def _read(path: Path) -> object:
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        return load_inert(path)  # checkpoints also hold optimizers and arguments
    except Exception as error:  # whatever the readers raise, the file is at fault
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"{path} ({SETTING}) cannot be read, it is damaged or something else: {reason}") from error


def _state(found: object, key: str, path: Path) -> dict[str, Tensor]:
    """The state dict in what the file holds."""
    if isinstance(found, Mapping):
        if key and key in found:
            found = found[key]
        elif not key and not _is_state(found):
            found = next((found[usual] for usual in USUAL_KEYS if usual in found), found)
        elif key:
            keys = ", ".join(map(str, list(found)[:6]))
            raise InputError(f"{path} ({SETTING}) has no {key!r} ({SETTING}_KEY); its keys are {keys}.")
    if not _is_state(found):
        keys = ", ".join(map(str, list(found)[:6])) if isinstance(found, Mapping) else type(found).__name__
        raise InputError(f"{path} ({SETTING}) holds no state dict but {keys}; say where it is with {SETTING}_KEY.")
    return dict(found)


def _is_state(found: object) -> bool:
    return isinstance(found, Mapping) and bool(found) and all(isinstance(value, Tensor) for value in found.values())


def _plain_names(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    for prefix in sorted(PREFIXES, key=len, reverse=True):
        if all(name.startswith(prefix) for name in weights):
            return {name.removeprefix(prefix): value for name, value in weights.items()}
    return weights


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
