"""ZERO-RLCF's second CLIP, which votes on views that the run's own CLIP has chosen."""

from __future__ import annotations

import os

import torch
from torch import Tensor
from yacs.config import CfgNode

from clipkit import ImageEncoder, InputError, TextEncoder, check_input_size, fingerprint, load_backbone, normalize
from clipkit.architecture import OPENAI, RANDOM
from datasets.table_prompts import prompts
from datasets.templates import template_set

from ..context import context_words
from .prototypes import mean_of_templates, mean_of_texts

KEY = "TRAINER.ZERO.VOTER_BACKBONE"


class Voter:
    """image: its tower, normalised pixels [N, 3, h, w] -> [N, d]; text: [C, d] unit class features; scale: s."""

    def __init__(self, backbone: str, precision: str, device: torch.device, cfg: CfgNode, names: list[str]) -> None:
        """backbone: a name, as of MODEL.BACKBONE.NAME, or a file. names: of the classes. Raises InputError for a
        backbone that does not read images of INPUT.SIZE."""
        path = os.path.expanduser(backbone)
        place = {"NAME": "", "PATH": path} if os.path.isfile(path) else {"NAME": backbone}
        said = f"{backbone} ({KEY})"
        if known := OPENAI.get(backbone.removeprefix(RANDOM)):  # before it is downloaded
            check_input_size(cfg.INPUT.SIZE, known.image_size, known.patch, said)
        clip = load_backbone(place, precision, device)
        self.image = ImageEncoder(clip)
        check_input_size(cfg.INPUT.SIZE, self.image.input_size, self.image.patch, said)
        self.text = class_features(TextEncoder(clip), cfg, names)
        self.scale = clip.logit_scale.detach().exp().float()
        self.told = {"backbone": backbone, "fingerprint": fingerprint(clip)}  # for results.json


def class_features(encoder: TextEncoder, cfg: CfgNode, names: list[str]) -> Tensor:
    """[C, d] of the texts that the run's own CLIP reads. Raises InputError for a learned context, which fits only the
    CLIP that it was learned on."""
    tta = cfg.TRAINER.TTA
    if tta.CTX_FROM:
        raise InputError(f"TRAINER.TTA.CTX_FROM is a context of another CLIP than {KEY}; leave one of the two out.")
    if tta.PROMPTS != "own":
        return normalize(mean_of_texts(encoder, prompts(tta.PROMPTS, cfg.DATASET.NAME, names)))
    single = cfg.TRAINER.ZERO.TEMPLATES == "single"
    templates = [f"{context_words(tta.CTX_INIT)} {{}}."] if single else template_set("select", cfg.DATASET.NAME)
    return normalize(mean_of_templates(encoder, templates, names))
