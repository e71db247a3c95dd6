"""Stops and continues a training run: all that its next step depends on, in one file."""

from __future__ import annotations

import random
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import torch

from clipkit.files import atomic_path
from dassl.utils import InputError

NAME = "checkpoint.pt"


class Resumable(Protocol):
    """A trainer: its recipe (a dataclass), and its state as tensors, numbers and plain containers of these."""

    recipe: Any

    def state(self) -> dict: ...

    def restore(self, state: dict) -> None: ...


def words_of(rng: random.Random) -> list:
    """The state of a generator of Python's, for `set_words`."""
    version, words, gauss = rng.getstate()
    return [version, list(words), gauss]


def set_words(rng: random.Random, state: list) -> None:
    """Sets a generator of Python's to a state from `words_of`."""
    rng.setstate((state[0], tuple(state[1]), state[2]))


def save_checkpoint(file: Path, trainer: Resumable, account: dict) -> None:
    """Write the trainer's state and `account` (plain values: progress, journal) to `file`, at once or not at all."""
    with atomic_path(file) as partial:
        torch.save({"recipe": asdict(trainer.recipe), "account": account, "state": trainer.state()}, partial)


def load_checkpoint(file: Path, trainer: Resumable) -> dict:
    """Put the state in `file` into a new trainer of the same recipe, and return the account that was saved with it.

    The steps after it are those of a run that was never stopped, to the bit (same machine, same number of threads).
    Raises InputError if the file cannot be read or belongs to other settings.
    """
    try:
        found = torch.load(file, map_location="cpu", weights_only=True)
        recipe = found["recipe"]
    except Exception as error:  # the reader raises many kinds; all mean that the file is unusable
        raise InputError(f"{file} is no checkpoint of this training: move it away, or give another --out") from error
    wanted = asdict(trainer.recipe)
    if recipe != wanted:
        keys = sorted(key for key in recipe.keys() | wanted.keys() if recipe.get(key) != wanted.get(key))
        differences = ", ".join(f"{key} {recipe.get(key)} instead of {wanted.get(key)}" for key in keys)
        raise InputError(f"{file} is of a run with other settings ({differences}): move it away, or give another --out")
    trainer.restore(found["state"])
    return found["account"]
