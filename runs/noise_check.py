"""Do the settings of DATASET.NOISE say together which labels become wrong? Without torch: a plan asks too."""

from __future__ import annotations

from collections.abc import Collection

from yacs.config import CfgNode

from dassl.utils import InputError

N = "DATASET.NOISE."


def check_noise(noise: CfgNode, given: Collection[str]) -> None:
    """Raises InputError for a rate without a type, a type without a rate, and a manifest beside either.

    noise: the node DATASET.NOISE, older spellings taken over. given: dotted keys that a file or the command line set: a
    rate of 0 that somebody asked for is a point of a sweep, one that nobody asked for was forgotten.
    """
    if noise.MANIFEST:
        if noise.TYPE or noise.RATE:
            raise InputError(f"{N}MANIFEST says which labels are wrong; leave {N}TYPE and {N}RATE out.")
    elif noise.RATE and not noise.TYPE:
        raise InputError(
            f"{N}RATE is {noise.RATE:g}, but {N}TYPE does not say what noise; set it, to sym_other for one "
            "(docs/label_noise.md)."
        )
    elif noise.TYPE and not (noise.RATE or {N + "RATE", "DATASET.NOISE_RATE"} & {*given}):
        raise InputError(f"{N}TYPE is {noise.TYPE}, but {N}RATE is not given; set it (0: no label is wrong).")
    elif noise.VAL and not noise.TYPE:
        raise InputError(f"{N}VAL is True, but there is no noise; set {N}TYPE and {N}RATE too.")
