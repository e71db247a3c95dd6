"""The protocols of evaluation under attack: the arguments of the run that `robustness` evaluates.

`robust` evaluates the model of few_shot.sh. With DATASET.SUBSAMPLE_CLASSES base or new it evaluates that of
base2new_train.sh (`robust_base2new`), and with a SOURCE that of xd_train.sh (`robust_cross_dataset`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from dassl.utils import InputError

from .arguments import Settings, arguments, test_mode
from .config_names import KNOWN_CLASSES_ONLY, ONLINE, TEST_TIME, UNTRAINED
from .protocols import base2new_folder, few_shot_folder, source_folder
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
        raise InputError(f"{trainer} adapts to each image with random draws; attack it adaptively, with MODE A.")
    if mode == "A" and trainer not in TEST_TIME:
        raise InputError(f"{trainer} does not adapt to images; its strongest attack is white-box, MODE W.")


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
                f"{key} is {found[key]!r}, which cannot be in a folder's name; docs/adversarial.md has its values."
            )
    name = found.get("ATTACK.NAME", "pgd").replace(",", "+")
    size = f"-n{found['ATTACK.SUBSET']}" if found.get("ATTACK.SUBSET", "0") != "0" else ""
    eps = found.get("ATTACK.EPS", "4")
    title = f"{MODES[found['ATTACK.MODE']]}-{name}-eps{number(eps) or 0.0:g}"
    return f"{title}-{found.get('ATTACK.STEPS', '100')}{size}", pairs, replace(settings, pairs=tuple(rest))


@dataclass(frozen=True)
class Tested:
    """The evaluated model and test. protocol: a key of `runs.about.VERSIONS`; place: the folders above the attack's;
    trained: the folder of the training run and the script that makes it; pairs: config pairs of the test; task: as in
    `config_name`."""

    protocol: str
    place: tuple[str, ...]
    trained: Path
    script: str
    pairs: tuple[str, ...]
    task: str
    source: str


HALF = "DATASET.SUBSAMPLE_CLASSES"


def tested(trainer: str, dataset: str, seed: int, own: Settings) -> Tested:
    """The model and test that the settings `own` (without the words of the attack) describe. Raises InputError for an
    unknown half of the classes, for a half together with a source, and for new classes of a method that cannot predict
    them."""
    half, shots = _half(own), str(own.shots)
    if half and own.source:
        raise InputError(f"SOURCE {own.source} tests on all classes of another dataset; leave {HALF} out.")
    if (half == "new" or own.source not in ("", dataset)) and trainer in KNOWN_CLASSES_ONLY:
        raise InputError(f"{trainer} can only predict its training classes, so it has no test on others.")
    if half:
        trained = base2new_folder("train_base", trainer, dataset, seed, own)
        script = f"base2new_train.sh {dataset} {seed}"
        own_shots = ("DATASET.NUM_SHOTS", shots)
        return Tested("robust_base2new", (half, dataset), trained, script, own_shots, "B2N", dataset)
    if own.source:
        trained = source_folder(trainer, own.source, seed, own)
        script = f"xd_train.sh {own.source} {seed}"
        place = (own.source, dataset)
        return Tested("robust_cross_dataset", place, trained, script, ("TASK", "CD"), "CD", own.source)
    trained = few_shot_folder(trainer, dataset, seed, own)
    script, pairs = f"few_shot.sh {dataset} {seed}", ("DATASET.NUM_SHOTS", shots, "TASK", "FS")
    return Tested("robust", (dataset,), trained, script, pairs, "B2N" if trainer in UNTRAINED else "FS", dataset)


def _half(own: Settings) -> str:
    given = dict(zip(own.pairs[::2], own.pairs[1::2], strict=False)).get(HALF, "all")
    if given not in ("base", "new", "all"):
        raise InputError(f"{HALF} is {given!r}, but must be base, new or all.")
    return "" if given == "all" else given


def robust_folder(trainer: str, dataset: str, seed: int, settings: Settings) -> Path:
    """The folder of the evaluation. Raises InputError as `take_attack` and `tested`."""
    attack, _, own = take_attack(trainer, settings)
    what = tested(trainer, dataset, seed, own)
    shots = f"shots_{0 if trainer in UNTRAINED and what.protocol == 'robust' else own.shots}"
    cfg = own.config(trainer, what.source, what.task)
    return Path(own.output, what.protocol, *what.place, attack, shots, trainer, cfg, f"seed{seed}")


def robust(trainer: str, dataset: str, seed: int, settings: Settings) -> list[str]:
    """train.py's arguments for the test of a trained run (or of a method without training), with ATTACK.* for the
    attack on it. Raises InputError if it is not trained."""
    title, pairs, own = take_attack(trainer, settings)
    what = tested(trainer, dataset, seed, own)
    own = replace(own, script=what.protocol)
    folder = robust_folder(trainer, dataset, seed, settings)
    name = next(name for name in MODES.values() if title.startswith(f"{name}-"))
    about: dict[str, object] = {"attack": title.removeprefix(f"{name}-"), "mode": name}
    cfg, kept = folder.parent.name, list(what.pairs)
    if trainer in UNTRAINED:
        if what.protocol == "robust":
            about, kept = about | {"source": None, "shots": 0}, []
        else:
            about = about | {"source": what.source}
        return arguments(trainer, dataset, seed, own, cfg, folder, ["--eval-only"], [*kept, *pairs], about)
    mode = test_mode(trainer, what.trained, own, what.script)
    return arguments(trainer, dataset, seed, own, cfg, folder, mode, [*kept, *pairs], about | {"source": what.source})
