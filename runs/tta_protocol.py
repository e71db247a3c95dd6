"""The protocols of test-time methods: a test on clean or attacked images, each on its own (`test_time`) or as a stream
that the method learns from (`online`). See `runs/protocols.py`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from dassl.utils import InputError

from .arguments import Settings, arguments, train_mode
from .config_names import ONLINE, TEST_TIME, UNTRAINED
from .words import take_eps


def take_attack(settings: Settings) -> tuple[str, list[str], Settings]:
    """Take EPS (in 1/255) and STEPS of PGD from the beginning of `settings.pairs`; they may be missing.

    Returns (name of the folder, config pairs, settings without them). With an attack, the run first makes the
    adversarial set if it does not exist. Raises InputError as `take_eps`.
    """
    own, rest = take_eps(settings.pairs)
    if not own or float(own[0]) == 0:
        return "clean", [], replace(settings, pairs=tuple(rest))
    pairs = ["TEST.ADV_SET", "make", "ATTACK.NAME", "pgd", "ATTACK.EPS", own[0], "ATTACK.STEPS", own[1]]
    return f"pgd-eps{float(own[0]):g}-{int(own[1])}", pairs, replace(settings, pairs=tuple(rest))


def test_time(trainer: str, dataset: str, seed: int, settings: Settings) -> list[str]:
    """train.py's arguments: test on all classes. Raises InputError for a method that has to be trained."""
    if trainer not in UNTRAINED:
        raise InputError(f"{trainer} has to be trained; the methods without training are {', '.join(UNTRAINED)}.")
    return _arguments("test_time", trainer, dataset, seed, settings)


def online(trainer: str, dataset: str, seed: int, settings: Settings) -> list[str]:
    """train.py's arguments: test on the stream of all classes' images. Raises InputError for a method that is trained,
    or that keeps no state between images, whose protocol is `test_time`."""
    if trainer in TEST_TIME or trainer not in UNTRAINED:
        why = (
            "keeps no state between images: its protocol is test_time" if trainer in TEST_TIME else "has to be trained"
        )
        known = ", ".join(name for name in UNTRAINED if name not in TEST_TIME)
        raise InputError(f"{trainer} {why}; the methods of online are {known}.")
    return _arguments("online", trainer, dataset, seed, settings)


def check_online(protocol: str, trainer: str) -> None:
    """Raises InputError for a method that learns from the stream in a protocol of methods that do not."""
    if trainer in ONLINE and protocol != "online":
        raise InputError(
            f"{trainer} learns from the stream of test images, and its results are never in one table with those of "
            f"methods that do not: give it the protocol online (bash scripts/{trainer.lower()}/online.sh DATASET SEED)."
        )


def _arguments(protocol: str, trainer: str, dataset: str, seed: int, settings: Settings) -> list[str]:
    attack, pairs, own = take_attack(settings)
    cfg = own.config(trainer, dataset)
    folder = Path(own.output) / protocol / dataset / attack / trainer / cfg / f"seed{seed}"
    about = {"source": None, "shots": 0} | ({"attack": attack, "mode": "transfer"} if pairs else {})
    return arguments(trainer, dataset, seed, own, cfg, folder, train_mode(trainer), pairs, about)


PROTOCOLS = {"test_time": test_time, "online": online}
