"""Config keys that a protocol sets itself: from the words of its command, from the environment, or by what it is.

A run's folder, and with it every table, says what these words say. A config pair of the same key would win over them
and make another run in that folder, so it is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from dassl.utils import InputError

from .about import VARIANTS
from .words import take_eps

# Each table: {key: what to give in its place}. First those of every protocol.
EVERYWHERE = {
    "SEED": "SEED, or --seeds",
    "OUTPUT_DIR": "OUTPUT, or --output",
    "DATASET.ROOT": "DATA, or --root",
    "DATASET.NAME": "another DATASET, or datasets in a suite",
    "DATASET.NUM_SHOTS": "SHOTS, or shots in a suite",
    "DATASET.SUBSAMPLE_CLASSES": "base2new_train.sh or base2new_test.sh, or protocol: base2new in a suite",
    "TRAINER.NAME": "the scripts of that method, or methods in a suite",
    "TASK": "the script of the protocol that has it, or this protocol in a suite",
}
_OLDER = ("DATASET.NOISE_TYPE", "DATASET.NOISE_RATE", "DATASET.NOISE_LABEL", "DATASET.NUM_FP")
_NOISE = ("DATASET.NOISE.TYPE", "DATASET.NOISE.RATE", "DATASET.NOISE.MANIFEST", *_OLDER)
_MADE = dict.fromkeys(_NOISE, "TYPE and RATE after SEED, or types in a suite") | {
    "DATASET.NOISE.MANIFEST": "it to a protocol without noise of its own, such as few_shot.sh"
}
_REAL = dict.fromkeys(
    (*_NOISE, "DATASET.NOISE.VAL"), "it to a protocol without noise of its own, such as few_shot.sh food101n"
)
SETTLED = {
    "noise_train": _MADE,
    "noise_xd_train": _MADE,
    "noise_xd_test": _MADE,
    "real_noise_train": _REAL,
    "real_noise_test": _REAL,
}

# Keys that the words after SEED set, where they are there: EPS and STEPS, and MODE.
_PGD = "EPS and STEPS after SEED, or eps and steps in a suite"
WORDS = {
    "test_time": {
        "ATTACK.EPS": _PGD,
        "ATTACK.STEPS": _PGD,
        "ATTACK.NAME": "it to scripts/adv/eval.sh; EPS and STEPS here are PGD's",
        "TEST.ADV_SET": "one of the two alone",
    },
    "robust": {"ATTACK.EPS": _PGD, "ATTACK.STEPS": _PGD},
}
MODE = {"ATTACK.MODE": "MODE after EPS and STEPS, or modes in a suite"}
ATTACKS = {"ATTACK.NAME": "attacks in a suite, or --attacks"}  # where a suite, or a sweep, names the attack itself

# What is tested: free only where the folder has a name of its own. Each table: {key: what else may be given}.
UNNAMED = {"TEST.SPLIT": ""}
_OTHER_SET = "it to real_noise_test.sh, which has a folder for each set, or "
UNNAMED_BY_PROTOCOL = {
    "test_time": {"TEST.ADV_SET": f"{_PGD}, or "},
    "real_noise_train": dict.fromkeys(("DATASET.FOOD101N.TEST", "DATASET.WEBVISION.TEST"), _OTHER_SET),
}


def check_keys(keys: Iterable[str], where: str, settled: dict[str, str] = EVERYWHERE) -> None:
    """Raises InputError for config keys that would make a run other than its folder says."""
    for key in keys:
        if key in settled:
            raise InputError(f"{key} in {where} contradicts the folder that the run gets; give {settled[key]}.")


def check_pairs(protocol: str, words: Sequence[str], output: str, where: str = "the command line") -> None:
    """Raises InputError for config pairs that contradict what the protocol says by its words or its folder.

    words: all that follows SEED. output: the folder that runs go under.
    """
    said, keys = _split(protocol, words)
    if options := [key for key in keys if key.startswith("-")]:
        raise InputError(f"{options[0]} in {where} is an option of train.py; here only config pairs follow: KEY VALUE.")
    check_keys(keys, where, EVERYWHERE | SETTLED.get(protocol, {}) | said)
    if VARIANTS in Path(output).parts:
        return
    for key, instead in (UNNAMED | UNNAMED_BY_PROTOCOL.get(protocol, {})).items():
        if key in keys:
            raise InputError(
                f"{key} in {where} is not in the name of the folder that the run gets; give {instead}the runs a name: "
                f"OUTPUT=output/{VARIANTS}/NAME (--output in a sweep, variant: NAME in a suite)."
            )


def _split(protocol: str, words: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """(what the words before the config pairs settle, the keys of the pairs)."""
    if protocol in ("noise_train", "noise_xd_train", "noise_xd_test"):
        return {}, [*words[2::2]]
    if protocol not in WORDS:
        return {}, [*words[::2]]
    numbers, rest = take_eps(words)
    said = WORDS[protocol] if numbers else {}
    if protocol == "robust":
        if len(rest) % 2:
            said, rest = said | MODE, rest[1:]
        if rest[::2].count("ATTACK.NAME") > 1:
            said = said | ATTACKS
    return said, rest[::2]
