"""Methods that adapt to each test image: a test on clean images, or on attacked ones. See `runs/protocols.py`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from dassl.utils import InputError

from .arguments import Settings, arguments, train_mode
from .config_names import UNTRAINED


def take_attack(settings: Settings) -> tuple[str, list[str], Settings]:
    """`settings.pairs` may begin with EPS (in 1/255) and STEPS of PGD: (what the folder is called, config pairs,
    settings without them). With an attack, the run makes the adversarial set first, if it is not there.

    Raises InputError for EPS without STEPS, and for what is no number.
    """
    eps, steps, rest = settings.pairs[:1], settings.pairs[1:2], settings.pairs[2:]
    if not eps or not _is_number(eps[0]):
        return "clean", [], settings
    if not steps or not steps[0].isdecimal():
        given = steps[0] if steps else "nothing"
        raise InputError(f"EPS is {eps[0]}, and STEPS must follow, a whole number such as 100, not {given}.")
    if float(eps[0]) == 0:
        return "clean", [], replace(settings, pairs=rest)
    pairs = ["TEST.ADV_SET", "make", "ATTACK.NAME", "pgd", "ATTACK.EPS", eps[0], "ATTACK.STEPS", steps[0]]
    return f"pgd-eps{float(eps[0]):g}-{int(steps[0])}", pairs, replace(settings, pairs=rest)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def test_time(trainer: str, dataset: str, seed: int, settings: Settings) -> list[str]:
    """train.py's arguments: test on all classes. Raises InputError for a method that has to be trained."""
    if trainer not in UNTRAINED:
        raise InputError(f"{trainer} has to be trained; the methods without training are {', '.join(UNTRAINED)}.")
    attack, pairs, own = take_attack(settings)
    cfg = own.config(trainer, dataset)
    folder = Path(own.output) / "test_time" / dataset / attack / trainer / cfg / f"seed{seed}"
    return arguments(trainer, dataset, seed, own, cfg, folder, train_mode(trainer), pairs)


PROTOCOLS = {"test_time": test_time}
