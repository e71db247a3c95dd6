"""Tests of models from few_shot.sh under a condition (corrupted images, noisy text); shared by their protocols."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from .arguments import Settings, arguments, test_mode
from .config_names import UNTRAINED


def few_shot_folder(trainer: str, dataset: str, seed: int, settings: Settings) -> Path:
    """The folder of a few-shot run; a method without training has 0 shots for any SHOTS."""
    cfg = settings.config(trainer, dataset, "FS")
    shots = 0 if trainer in UNTRAINED else settings.shots
    return Path(settings.output) / "few_shot" / dataset / f"shots_{shots}" / trainer / cfg / f"seed{seed}"


def condition_folder(protocol: str, condition: str, trainer: str, dataset: str, seed: int, settings: Settings) -> Path:
    """The folder of the test. condition: its name in folders and tables, such as "fog-3" or "typo-0.1"."""
    shots = f"shots_{0 if trainer in UNTRAINED else settings.shots}"
    cfg = settings.config(trainer, dataset, "FS")
    return Path(settings.output) / protocol / dataset / condition / shots / trainer / cfg / f"seed{seed}"


def condition_test(
    protocol: str, condition: str, pairs: list[str], trainer: str, dataset: str, seed: int, settings: Settings
) -> list[str]:
    """train.py's arguments for the test. pairs: the config pairs of the condition. settings: those of the script,
    without the words that name the condition.

    Raises InputError if the method is not trained.
    """
    folder = condition_folder(protocol, condition, trainer, dataset, seed, settings)
    cfg, untrained = folder.parent.name, trainer in UNTRAINED
    trained = few_shot_folder(trainer, dataset, seed, settings)
    mode = test_mode(trainer, trained, settings, f"few_shot.sh {dataset} {seed}")
    shots = 0 if untrained else settings.shots
    about: dict[str, object] = {"condition": condition, "shots": shots} | ({"source": None} if untrained else {})
    task = ["DATASET.NUM_SHOTS", str(shots), "TASK", "FS"]
    return arguments(trainer, dataset, seed, settings, cfg, folder, mode, [*task, *pairs], about)


def without(settings: Settings, count: int) -> Settings:
    """The settings without the first `count` words of their pairs."""
    return replace(settings, pairs=settings.pairs[count:])
