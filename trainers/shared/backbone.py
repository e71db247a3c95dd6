"""The frozen CLIP of this process: loaded once, shared by successive runs."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable, Mapping

import torch
from yacs.config import CfgNode

from clipkit import ImageEncoder, check_input_size, load_backbone
from clipkit.architecture import OPENAI, RANDOM
from clipkit.backbone_spec import spec_of
from clipkit.fingerprint import other_spec
from clipkit.openai_clip import CLIP

logger = logging.getLogger(__name__)

KEYS = ("NAME", "PATH", "SPEC", "VISUAL_WEIGHTS", "VISUAL_WEIGHTS_KEY")  # the last two: only with another image tower


def shared_clip(backbone: Mapping, precision: str, device: torch.device) -> CLIP:
    """`load_backbone`; the last model is kept for calls with the same arguments (several tests in one process)."""
    asked = tuple(backbone.get(key, "") for key in KEYS)
    files = [os.stat(path) for path in asked if path and os.path.isfile(path)]
    stamps = tuple((s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for s in files)
    return _load(asked, stamps, precision, str(device))


@functools.lru_cache(maxsize=1)
def _load(asked: tuple[str, ...], stamps: tuple[tuple[int, ...], ...], precision: str, device: str) -> CLIP:
    return load_backbone(dict(zip(KEYS, asked, strict=True)), precision, device)


def tower_record(cfg: CfgNode, clip: CLIP) -> dict:
    """The entry for results.json: {"visual_weights": file and hash of another image tower}, or {} without one."""
    path = cfg.MODEL.BACKBONE.get("VISUAL_WEIGHTS", "")
    return {"visual_weights": {"path": path, "sha256": clip.visual_weights}} if path else {}


def check_images(cfg: CfgNode, model: Callable[[], CLIP]) -> None:
    """Raises InputError when the backbone of `cfg` does not read images of INPUT.SIZE.

    model: function that returns the backbone. It is not called for OpenAI's models, whose sizes follow from the name,
    so nothing is downloaded for the check.
    """
    backbone = cfg.MODEL.BACKBONE
    path = backbone.get("PATH", "")
    known = None if path else OPENAI.get(backbone.NAME.removeprefix(RANDOM))
    if known is None:
        clip = model()
        encoder = ImageEncoder(clip)
        check_input_size(cfg.INPUT.SIZE, encoder.input_size, encoder.patch, path or backbone.NAME)
        _warn_of_preprocessing(cfg, clip)
    else:
        check_input_size(cfg.INPUT.SIZE, known.image_size, known.patch, backbone.NAME)


def _warn_of_preprocessing(cfg: CfgNode, clip: CLIP) -> None:
    """Warns where images are not preprocessed as in the training of a backbone that is not OpenAI's."""
    spec = spec_of(clip)
    for key, own in spec.preprocess.as_config().items() if spec and other_spec(clip) else ():
        value = cfg.INPUT.get(key.removeprefix("INPUT."), own)
        plain = list(value) if isinstance(value, (list, tuple)) else value
        if plain != (list(own) if isinstance(own, (list, tuple)) else own):
            logger.warning("Warning: %s is %s, but this backbone was trained with %s", key, value, own)
