"""The protocol of a method under attack: the arguments of the run that `robustness` evaluates."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from dassl.utils import InputError

from .arguments import Settings, arguments, test_mode
from .config_names import ONLINE, TEST_TIME, UNTRAINED
from .protocols import few_shot_folder
from .words import number, take_eps

# {key that is part of the folder's name: pattern of its value}
NAMED = {"ATTACK.NAME": r"[a-z0-9, -]+", "ATTACK.SUBSET": r"\d+", "ATTACK.STEPS": r"\d+", "ATTACK.EPS": r"[\d.e+-]+"}
MODES = {"T": "transfer", "W": "white-box", "A": "adaptive"}


def default_mode(trainer: str) -> str:
    """The strongest mode for a method: adaptive if it adapts to test images, else white-box."""
    return "A" if trainer in TEST_TIME else "W"


def check_mode(trainer: str, mode: str) -> None:
    """Raises InputError for an unknown mode, and for one that the method cannot be attacked in."""
    if mode not in MODES:
        raise InputError(f"MODE is {mode!r}, but must be one of {', '.join(MODES)} (docs/adversarial.md).")
    if trainer in ONLINE:
        raise InputError(
            f"{trainer} learns from the stream of images: it is tested on pictures attacked beforehand, by "
            f"scripts/{trainer.lower()}/online.sh DATASET SEED EPS STEPS."
        )
    if mode == "W" and trainer in TEST_TIME:
        raise InputError(f"{trainer} adapts to each image, with draws of its own: the attack that knows it is MODE A.")
    if mode == "A" and trainer not in TEST_TIME:
        raise InputError(f"{trainer} does not adapt to images: the attack that knows all of it is MODE W.")


def take_attack(trainer: str, settings: Settings) -> tuple[str, list[str], Settings]:
    """Take EPS (in 1/255), STEPS and MODE from the beginning of `settings.pairs`; they may be missing.

    Returns (name of the folder, config pairs, settings without them). Raises InputError for EPS without STEPS, and for
    a mode that does not fit the method.
    """
    numbers, rest = take_eps(settings.pairs)
    own = [x for pair in zip(("ATTACK.EPS", "ATTACK.STEPS"), numbers, strict=False) for x in pair]
    mode = rest.pop(0) if len(rest) % 2 else default_mode(trainer)
    check_mode(trainer, mode)
    pairs = [*own, "ATTACK.MODE", mode]
    found = dict(zip(pairs[::2], pairs[1::2], strict=True)) | dict(zip(rest[::2], rest[1::2], strict=True))
    check_mode(trainer, found["ATTACK.MODE"])
    for key, form in NAMED.items():
        if not re.fullmatch(form, found.get(key, "0")):
            raise InputError(
                f"{key} is {found[key]!r}, which names no folder; docs/adversarial.md says what it may be."
            )
    name = found.get("ATTACK.NAME", "pgd").replace(",", "+")
    size = f"-n{found['ATTACK.SUBSET']}" if found.get("ATTACK.SUBSET", "0") != "0" else ""
    eps = found.get("ATTACK.EPS", "4")
    title = f"{MODES[found['ATTACK.MODE']]}-{name}-eps{number(eps) or 0.0:g}"
    return f"{title}-{found.get('ATTACK.STEPS', '100')}{size}", pairs, replace(settings, pairs=tuple(rest))


def robust_folder(trainer: str, dataset: str, seed: int, settings: Settings) -> Path:
    """The folder of the evaluation. Raises InputError as `take_attack`."""
    attack, _, own = take_attack(trainer, settings)
    untrained = trainer in UNTRAINED
    shots = f"shots_{0 if untrained else own.shots}"
    cfg = own.config(trainer, dataset, "B2N" if untrained else "FS")
    return Path(own.output) / "robust" / dataset / attack / shots / trainer / cfg / f"seed{seed}"


def robust(trainer: str, dataset: str, seed: int, settings: Settings) -> list[str]:
    """train.py's arguments for the test of a few-shot run (or of a method without training), with ATTACK.* for the
    attack on it. Raises InputError if it is not trained."""
    title, pairs, own = take_attack(trainer, settings)
    own = replace(own, script="robust")
    folder = robust_folder(trainer, dataset, seed, settings)
    name = next(name for name in MODES.values() if title.startswith(f"{name}-"))
    about: dict[str, object] = {"attack": title.removeprefix(f"{name}-"), "mode": name}
    cfg = folder.parent.name
    if trainer in UNTRAINED:
        about |= {"source": None, "shots": 0}
        return arguments(trainer, dataset, seed, own, cfg, folder, ["--eval-only"], pairs, about)
    trained = few_shot_folder(trainer, dataset, seed, own)
    mode = test_mode(trainer, trained, own, f"few_shot.sh {dataset} {seed}")
    task = ["DATASET.NUM_SHOTS", str(own.shots), "TASK", "FS"]
    return arguments(trainer, dataset, seed, own, cfg, folder, mode, [*task, *pairs], about)
