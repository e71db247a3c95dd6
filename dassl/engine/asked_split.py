"""Refuses a test on validation images that the data set does not have."""

from __future__ import annotations

from dassl.protocols import Trainer
from dassl.utils.errors import InputError

NO_VAL = 'give it a validation part (a split file with "val", a folder val beside train)'


def check_split(trainer: Trainer, split: str) -> None:
    """Raises InputError for the split "val" if there are no validation images: the test images are not used instead."""
    if split == "val" and getattr(trainer, "val_loader", None) is None and getattr(trainer, "test_loader", None):
        raise InputError(
            f"The validation images are asked for (TEST.SPLIT val), but {name_of(trainer)} has none; "
            f"take TEST.SPLIT test, or {NO_VAL}."
        )


def name_of(trainer: Trainer) -> str:
    """The name of the trainer's dataset, for messages: DATASET.NAME, or else the name of its class."""
    return trainer.cfg.DATASET.NAME or type(trainer.dm.dataset).__name__
