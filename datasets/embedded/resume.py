"""Stops and continues a training run: all that its next step depends on, in one file."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import torch

from clipkit.files import atomic_path
from dassl.utils import InputError

from .clip_trainer import Trainer

NAME = "checkpoint.pt"


def save_checkpoint(file: Path, trainer: Trainer, account: dict) -> None:
    """Write the trainer's state and `account` (plain values: progress, journal) to `file`, at once or not at all."""
    version, words, gauss = trainer.rng.getstate()
    state = {
        "recipe": asdict(trainer.recipe),
        "dtype": str(trainer.dtype).removeprefix("torch."),
        "account": account,
        "clip": trainer.clip.state_dict(),
        "table": trainer.table.detach(),
        "heads": trainer.heads.state_dict(),
        "average": trainer.average,
        "optimizers": [optimizer.state_dict() for optimizer in trainer.optimizers],
        "seen": trainer.seen,
        "images": trainer.images_done,
        "generator": trainer.generator.get_state(),
        "captions": [version, list(words), gauss],
    }
    with atomic_path(file) as partial:
        torch.save(state, partial)


def load_checkpoint(file: Path, trainer: Trainer) -> dict:
    """Put the state in `file` into a new trainer of the same recipe, and return the account that was saved with it.

    The steps after it are those of a run that was never stopped, to the bit (same machine, same number of threads).
    Raises InputError if the file cannot be read or belongs to other settings.
    """
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
        recipe = state["recipe"]
    except Exception as error:  # whatever the reader raises, the file is at fault
        raise InputError(f"{file} is no checkpoint of this training: move it away, or give another --out") from error
    wanted = asdict(trainer.recipe)
    if recipe != wanted:
        keys = sorted(key for key in recipe.keys() | wanted.keys() if recipe.get(key) != wanted.get(key))
        differences = ", ".join(f"{key} {recipe.get(key)} instead of {wanted.get(key)}" for key in keys)
        raise InputError(f"{file} is of a run with other settings ({differences}): move it away, or give another --out")
    trainer.dtype = getattr(torch, state["dtype"])  # of the machine that began the run
    trainer.clip.load_state_dict(state["clip"])
    trainer.heads.load_state_dict(state["heads"])
    with torch.no_grad():
        trainer.table.copy_(state["table"])
        for name, value in state["average"].items():
            trainer.average[name].copy_(value)
    for optimizer, saved in zip(trainer.optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    trainer.seen.copy_(state["seen"])
    trainer.images_done = state["images"]
    trainer.generator.set_state(state["generator"])
    version, words, gauss = state["captions"]
    trainer.rng.setstate((version, tuple(words), gauss))
    return state["account"]
