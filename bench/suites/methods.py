"""Methods by name: those that have configs, and settings of a method under a name of their own."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence

from dassl.utils import InputError
from runs.config_names import CONFIG_FOLDER, METHODS, PUBLISHED
from runs.targets import ROOT

LOSS_HOSTS = ("CoOp", "KgCoOp", "TCP")  # methods whose loss may be a robust one: CoOp-GCE


def check_methods(names: Sequence[str]) -> list[str]:
    """`all` becomes every method without SAR on top. Raises InputError for a name that has no configs."""
    known = list(PUBLISHED)
    names = [n for name in names for n in (METHODS if name == "all" else [name])]
    for name in names:
        if not name or not os.path.isdir(ROOT / "configs" / "trainers" / CONFIG_FOLDER.get(name, name)):
            near = dict.fromkeys([*difflib.get_close_matches(name, known, n=3, cutoff=0.3), *known])
            raise InputError(f"There is no method {name!r}; known, nearest first: {', '.join(near)}.")
    return list(dict.fromkeys(names))


def named_variants() -> dict[str, tuple[str, tuple[str, ...]]]:
    """{name: (method, config pairs)} of settings that suites may list as if they were methods. Brings torch in."""
    from trainers.label_noise.robust_losses import LOSSES  # imported here: a plan needs no torch

    return {
        "PTNL-GCE": ("PTNL", ("TRAINER.PTNL.LOSS", "gce")),
        "DPSEP-intent": ("DPSEP", ("TRAINER.DPSEP.SEP_SIGN", "intent")),
        **{
            f"{host}-{loss if '_' in loss else loss.upper()}": (host, ("LOSS.NAME", loss))
            for host in LOSS_HOSTS
            for loss in LOSSES
            if loss != "ce"
        },
    }
