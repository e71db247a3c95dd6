"""All config keys with their defaults: of the engine, of this project, and of all registered datasets and methods."""

from __future__ import annotations

from yacs.config import CfgNode

import datasets  # noqa: F401  registers the datasets
import trainers  # noqa: F401  registers the methods
from dassl.config import get_cfg_default
from datasets.adversarial import add_adversarial_defaults
from datasets.corrupted import add_corruption_defaults
from datasets.noisy import add_noise_defaults
from trainers.shared.discovery import add_dataset_defaults, add_trainer_defaults
from trainers.shared.text_noise import add_text_noise_defaults


def extend_cfg(cfg: CfgNode) -> None:
    """Add the keys of this project and of every registered dataset and trainer."""
    cfg.DATASET.SUBSAMPLE_CLASSES = "all"  # all | base | new
    cfg.DATASET.STAND_IN = ""  # a dataset whose templates and settings a method uses in place of this one's
    cfg.TASK = "B2N"  # B2N base-to-new | CD cross-dataset and domain generalisation | FS few-shot
    cfg.TRAINER.FP16_LOSS = False  # with PREC fp16: logits and loss in fp16, for comparison with the published code
    cfg.MODEL.BACKBONE.PATH = ""  # a local CLIP file, in place of a download
    cfg.MODEL.BACKBONE.SPEC = ""  # structure of the file PATH: "openai" (not checked), or an open_clip config
    cfg.MODEL.BACKBONE.VISUAL_WEIGHTS = ""  # a file with another image tower (adversarially fine-tuned ones)
    cfg.MODEL.BACKBONE.VISUAL_WEIGHTS_KEY = ""  # key of the tower in that file; empty: the usual keys are tried
    # In a test over base and new classes, a method with different rules for the two uses this one for all images.
    cfg.TEST.OPEN_WORLD = ""  # base | new; empty: another test
    cfg.INPUT.RESIZE_MODE = "shortest"  # of a test image: shorter side, then crop | squash: both sides, no crop
    cfg.TEST.FEATURE_BANK = True  # keep test image features: of frozen towers on disk, of tuned ones in memory
    cfg.TRAIN.FEATURE_BANK = True  # keep features of training crops of frozen towers on disk
    cfg.TRAIN.COMPILE = False  # the text tower of training steps through torch.compile
    add_noise_defaults(cfg)
    add_adversarial_defaults(cfg)
    add_corruption_defaults(cfg)
    add_text_noise_defaults(cfg)
    add_dataset_defaults(cfg)
    add_trainer_defaults(cfg)


def default_cfg() -> CfgNode:
    """All keys with their defaults, except those of --plugin-cfg."""
    cfg = get_cfg_default()
    extend_cfg(cfg)
    return cfg
