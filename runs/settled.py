"""Refuses config pairs for keys that a protocol sets itself, from its arguments, the environment, or its definition.

The run's folder, and so every table, has these values in its name. A config pair of the same key would override them,
and the folder would hold a different run than its name says.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from dassl.utils import InputError

from .about import VARIANTS
from .words import CONFIG_KEY, take_eps

# Each table is {key: what to give in its place}. The first is for every protocol.
EVERYWHERE = {
    "SEED": "the seed as the word after DATASET, with --seeds, or as seeds in a suite",
    "OUTPUT_DIR": "OUTPUT, or --output",
    "DATASET.ROOT": "DATA, or --root",
    "DATASET.NAME": "another DATASET, or datasets in a suite",
    "DATASET.NUM_SHOTS": "SHOTS, or shots in a suite",
    "DATASET.SUBSAMPLE_CLASSES": "base2new_train.sh or base2new_test.sh, or protocol: base2new in a suite",
    "TRAINER.NAME": "the scripts of that method, or methods in a suite",
    "TASK": "the script of the protocol that has this task, or that protocol in a suite",
}
_OLDER = ("DATASET.NOISE_TYPE", "DATASET.NOISE_RATE", "DATASET.NOISE_LABEL", "DATASET.NUM_FP")
_NOISE = ("DATASET.NOISE.TYPE", "DATASET.NOISE.RATE", "DATASET.NOISE.MANIFEST", *_OLDER)
_MADE = dict.fromkeys(_NOISE, "TYPE and RATE after SEED, or types in a suite") | {
    "DATASET.NOISE.MANIFEST": "it to a protocol without noise of its own, such as few_shot.sh"
}
_REAL = dict.fromkeys(
    (*_NOISE, "DATASET.NOISE.VAL"), "it to a protocol without noise of its own, such as few_shot.sh food101n"
)
_TEXT = "KINDS and STRENGTHS after SEED, or kinds in a suite"
_CORRUPTION = "CORRUPTIONS and SEVERITIES after SEED, or corruptions and severities in a suite"
SETTLED = {
    "noise_train": _MADE,
    "noise_xd_train": _MADE,
    "noise_xd_test": _MADE,
    "real_noise_train": _REAL,
    "real_noise_test": _REAL,
    "corruption_test": dict.fromkeys(("TEST.CORRUPTION.NAME", "TEST.CORRUPTION.SEVERITY"), _CORRUPTION),
    "text_noise_test": dict.fromkeys(("TEST.TEXT_NOISE.KIND", "TEST.TEXT_NOISE.STRENGTH"), _TEXT),
}

CONDITIONS = ("corruption_test", "text_noise_test")  # protocols whose first two words name a condition

# Keys that another protocol settles, and that are in the name of this one's folder.
TAKEN = {"robust": ("DATASET.SUBSAMPLE_CLASSES",)}

# Keys that are set by the arguments EPS, STEPS and MODE after SEED, if these are given.
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
WORDS["online"] = WORDS["test_time"]
MODE = {"ATTACK.MODE": "MODE after EPS and STEPS, or modes in a suite"}
ATTACKS = {"ATTACK.NAME": "attacks in a suite, or --attacks"}  # for a suite or study that sets the attack itself

# Keys on the test data, which are valid only if the folder is a named variant. Each table: {key: an alternative}.
UNNAMED = {
    "TEST.SPLIT": "",
    "TEST.OPEN_WORLD": "",
    "TEST.CORRUPTION.NAME": "",
    "TEST.CORRUPTION.SEED": "",
    "TEST.TEXT_NOISE.KIND": "",
    "TEST.TEXT_NOISE.SEED": "",
}
_STREAM = ("ORDER", "WITH", "SEED", "RESET_EVERY", "PASSES", "BATCH", "ATTACKED")
_OTHER_SET = "it to real_noise_test.sh, which has a folder for each set, or "
UNNAMED_BY_PROTOCOL = {
    "test_time": {"TEST.ADV_SET": f"{_PGD}, or "},
    "online": {"TEST.ADV_SET": f"{_PGD}, or "} | {f"TRAINER.STREAM.{key}": "" for key in _STREAM},
    "real_noise_train": dict.fromkeys(("DATASET.FOOD101N.TEST", "DATASET.WEBVISION.TEST"), _OTHER_SET),
}


def check_keys(keys: Iterable[str], where: str, settled: dict[str, str] = EVERYWHERE) -> None:
    """Raises InputError for config keys that would contradict the name of the run's folder."""
    for key in keys:
        if key in settled:
            raise InputError(f"{key} in {where} contradicts the folder that the run gets; give {settled[key]}.")


def check_pairs(protocol: str, words: Sequence[str], output: str, where: str = "the command line") -> None:
    """Raises InputError for config pairs that contradict the protocol's arguments or folder.

    words: all arguments after SEED. output: the folder of all runs.
    """
    said, keys = _split(protocol, words)
    if options := [key for key in keys if key.startswith("-")]:
        raise InputError(f"{options[0]} in {where} is an option of train.py; here only config pairs follow: KEY VALUE.")
    taken = TAKEN.get(protocol, ())
    check_keys([key for key in keys if key not in taken], where, EVERYWHERE | SETTLED.get(protocol, {}) | said)
    if VARIANTS in Path(output).parts:
        return
    for key, instead in (UNNAMED | UNNAMED_BY_PROTOCOL.get(protocol, {})).items():
        if key in keys:
            raise InputError(
                f"{key} in {where} is not in the name of the folder that the run gets; give {instead}the runs a name: "
                f"OUTPUT=output/{VARIANTS}/NAME (--output in a sweep, variant: NAME in a suite)."
            )


def _split(protocol: str, words: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """({key that arguments before the config pairs set: alternative}, keys of the config pairs)."""
    if protocol in ("noise_train", "noise_xd_train", "noise_xd_test"):
        return {}, [*words[2::2]]
    if protocol in CONDITIONS:  # two words, or none
        return {}, [*words[0 if not words or CONFIG_KEY.fullmatch(words[0]) else 2 :: 2]]
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
