"""Replaces older keys of label noise (NOISE_TYPE, NOISE_RATE, NOISE_LABEL, NUM_FP) by DATASET.NOISE.*."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dassl.utils import InputError

from .rule import Rule

if TYPE_CHECKING:
    from .facts import Facts

D, N = "DATASET.", "DATASET.NOISE."
UNSET = {D + "NOISE_TYPE": "", D + "NOISE_RATE": 0.0, D + "NUM_FP": 0}
OLDER = (*UNSET, D + "NOISE_LABEL")


def older_keys(config: Mapping[str, Any], facts: Facts) -> dict[str, object]:
    """The values of DATASET.NOISE.* for older keys, which are reset.

    Raises InputError if noise is given twice, or while NOISE_LABEL is False, and for a NUM_FP not below the shots.
    """
    kind, rate, count = (config[key] for key in UNSET)
    made = config[N + "TYPE"] or config[N + "RATE"] or config[N + "MANIFEST"]
    if made and not config[D + "NOISE_LABEL"]:
        raise InputError(
            "DATASET.NOISE_LABEL is False, which stands for clean labels, but DATASET.NOISE.* asks for wrong ones; "
            "leave one of the two out."
        )
    if not (kind or rate or count) or not config[D + "NOISE_LABEL"]:
        return {**UNSET, D + "NOISE_LABEL": True}
    if made:
        raise InputError("Label noise is given twice, as DATASET.NOISE.* and in the older spelling; leave one out.")
    if count:
        kind, rate = _counted(config, facts)
    else:
        kind = facts.noise_aliases.get(kind or "sym", kind)
    return {**UNSET, N + "TYPE": kind, N + "RATE": rate}


def _counted(config: Mapping[str, Any], facts: Facts) -> tuple[str, float]:
    """(type, rate) of NUM_FP wrong images among the shots of each class."""
    kind, rate, count = (config[key] for key in UNSET)
    shots = config[D + "NUM_SHOTS"]
    if rate:
        raise InputError("DATASET.NUM_FP and DATASET.NOISE_RATE both say how many labels are wrong; leave one out.")
    if not count < shots:
        raise InputError(
            f"DATASET.NUM_FP is {count}, but counts wrong images among the DATASET.NUM_SHOTS of a class, here {shots}, "
            "of which some must be right; set both."
        )
    return facts.noise_swaps[facts.noise_aliases.get(kind, "") == "pair_next"], count / shots


RULE = Rule("older keys of label noise", older_keys)
