"""The checkpoints of a method's learner: initial weights, loading, and the identity that is saved in them."""

from __future__ import annotations

import logging
from pathlib import Path

from torch import nn

from clipkit import InputError, fingerprint
from dassl.config.keys import config_value
from dassl.config.shown import trainer_name

from .checkpoints import load_file, load_learner, start_learner
from .foreign_prompts import tell_zero_shot
from .method import Method

logger = logging.getLogger(__name__)


class LearnerFiles:
    """The checkpoints of one trainer. Raises InputError for a file that does not fit, see `checkpoints.py`."""

    def __init__(self, trainer: Method) -> None:
        self.trainer = trainer
        self.unstated: Path | None = None  # a file that was loaded and does not say its backbone

    def start(self, learner: nn.Module | None) -> None:
        """Loads the fitting tensors of MODEL.INIT_WEIGHTS, if that is set."""
        cfg = self.trainer.cfg
        file = cfg.MODEL.INIT_WEIGHTS
        if file and learner is None:
            raise InputError(f"{trainer_name(cfg)} learns nothing, so MODEL.INIT_WEIGHTS has no effect; leave it out.")
        if file:
            self.unstated = start_learner(learner, file, self.trainer.lab2cname)

    def load(self, directory: str, epoch: int | None) -> None:
        """Loads `<directory>/<registered name>/model.pth.tar-<epoch>` (or model-best), also a reference's."""
        if not directory:
            logger.info("No --model-dir given: nothing is loaded")
            return
        trainer = self.trainer
        for name in trainer.get_model_names():
            self.unstated = load_learner(
                trainer._models[name], directory, name, epoch, trainer.run_identity(), trainer.lab2cname
            )

    def load_one(self, file: str) -> None:
        """Loads one checkpoint file, as `load` does."""
        trainer = self.trainer
        for name in trainer.get_model_names():
            self.unstated = load_file(
                trainer._models[name], Path(file), name, trainer.run_identity(), trainer.lab2cname
            )

    def tell_unstated(self) -> None:
        """Called before training and tests: `tell_zero_shot`, once, if a loaded file does not name its backbone."""
        file, self.unstated = self.unstated, None
        if file is not None:
            tell_zero_shot(self.trainer, file)

    def identity(self) -> dict:
        """Method, backbone and settings, saved in a checkpoint so that runs with others refuse it."""
        trainer, cfg = self.trainer, self.trainer.cfg
        backbone = cfg.MODEL.BACKBONE
        learning = [key for key in trainer.config_defaults if key.startswith(("TRAINER.", "LOSS.", "TRAIN_ATTACK."))]
        return {
            **{key: config_value(cfg, key) for key in learning if key not in trainer.architecture},
            "TRAINER.NAME": trainer_name(cfg),
            "MODEL.BACKBONE": backbone.get("PATH", "") or backbone.NAME,
            "backbone": fingerprint(trainer.clip),
            "architecture": {key: config_value(cfg, key) for key in trainer.architecture},
        }
