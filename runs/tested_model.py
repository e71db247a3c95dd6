"""Checks of the model of a test (--eval-only): that one is given, and that its weights fit; and its hash."""

from __future__ import annotations

import hashlib
import logging
import os
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from clipkit.files import sha256
from dassl.engine.class_rows import check_classes
from dassl.engine.guards import learns
from dassl.utils import InputError, load_checkpoint
from dassl.utils.checkpoint import BEST_NAME
from dassl.utils.finite import check_weights
from interop.plugins.hosting import is_hosted

if TYPE_CHECKING:
    from dassl.protocols import Trainer

logger = logging.getLogger("train")


def check_model_given(trainer: Trainer, args: Namespace) -> None:
    """Raises InputError if a method that is trained would be tested with its initial weights, or with weights that fit
    only in part. Without --model-dir, MODEL.INIT_WEIGHTS is the tested model."""
    weights = trainer.cfg.MODEL.INIT_WEIGHTS
    if weights and not args.model_dir and hasattr(trainer, "take_weights"):
        trainer.take_weights(weights)
    if args.model_dir and not trainer.get_model_names() and not is_hosted(trainer.cfg):
        name = trainer.cfg.TRAINER.NAME
        logger.warning("Warning: --model-dir has no effect: %s learns nothing, so there is nothing to load", name)
    if not args.model_dir and not weights and learns(trainer):
        raise InputError(
            f"--eval-only of {trainer.cfg.TRAINER.NAME}, which learns, needs the folder of a trained run: give "
            "--model-dir FOLDER and --load-epoch EPOCH (or weights to start from, MODEL.INIT_WEIGHTS); train it by "
            "leaving --eval-only out."
        )


def weights_hash(directory: str, epoch: int | None) -> str | None:
    """A hash (16 hex digits) of the checkpoint files that a test of this epoch loads from a trained run's folder; None
    without any."""
    name = BEST_NAME if epoch is None else f"model.pth.tar-{epoch}"
    files = sorted(Path(directory).glob(f"*/{name}")) if directory else []
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.parent.name} {sha256(file)}\n".encode())
    return digest.hexdigest()[:16] if files else None


def check_loaded(trainer: Trainer, directory: str, epoch: int | None) -> None:
    """Raises InputError for weights with NaN, and for class-specific contexts (CSC) of other classes.

    Only weights of plugins are checked here; this project's methods check theirs when they load them.
    """
    if not directory or not is_hosted(trainer.cfg):
        return
    for name in trainer.get_model_names():
        path = os.path.join(directory, name, BEST_NAME if epoch is None else f"model.pth.tar-{epoch}")
        check_weights(trainer._models[name], path, "its training has diverged, or the file is damaged; train again")
        if os.path.isfile(path):
            check_classes(trainer._models[name], load_checkpoint(path), trainer.lab2cname, path)
