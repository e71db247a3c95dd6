"""Checks that the settings of DATASET.NOISE fit together. It does not import torch, since plans use it too."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from dassl.utils import InputError

N = "DATASET.NOISE."


def check_noise(config: Mapping[str, object], given: Collection[str]) -> None:
    """Raises InputError for a rate without a type, a type without a rate, and a manifest beside either.

    config: with the older keys replaced. given: keys that a file or the command line sets. A rate of 0 is valid if it
    is given, as in a sweep; a type without a given rate is an error.
    """
    kind, rate = config[N + "TYPE"], config[N + "RATE"]
    if config[N + "MANIFEST"]:
        if kind or rate:
            raise InputError(f"{N}MANIFEST lists the wrong labels; leave {N}TYPE and {N}RATE out.")
    elif rate and not kind:
        raise InputError(
            f"{N}RATE is {rate:g}, but {N}TYPE does not say what noise; set it, to sym_other for one "
            "(docs/label_noise.md)."
        )
    elif kind and not (rate or {N + "RATE", "DATASET.NOISE_RATE"} & {*given}):
        raise InputError(f"{N}TYPE is {kind}, but {N}RATE is not given; set it (0: no label is wrong).")
    elif config[N + "VAL"] and not kind:
        raise InputError(f"{N}VAL is True, but there is no noise; set {N}TYPE and {N}RATE too.")
