"""Names of methods in suites: methods with configs, and named variants of a method's settings."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence

from dassl.utils import InputError
from runs.config_names import CONFIG_FOLDER, METHODS, PUBLISHED
from runs.targets import ROOT

LOSS_HOSTS = ("CoOp", "KgCoOp", "TCP")  # methods that have variants with a robust loss, such as CoOp-GCE


def check_methods(names: Sequence[str]) -> list[str]:
    """The methods of these names; `all` stands for every method without SAR. Raises InputError for unknown names."""
    known = list(PUBLISHED)
    names = [n for name in names for n in (METHODS if name == "all" else [name])]
    for name in names:
        if not name or not os.path.isdir(ROOT / "configs" / "trainers" / CONFIG_FOLDER.get(name, name)):
            near = dict.fromkeys([*difflib.get_close_matches(name, known, n=3, cutoff=0.3), *known])
            raise InputError(f"There is no method {name!r}; known, nearest first: {', '.join(near)}.")
    return list(dict.fromkeys(names))


def named_variants() -> dict[str, tuple[str, tuple[str, ...]]]:
    """{name: (method, config pairs)} of settings that suites may list like methods. Imports torch."""
    from trainers.label_noise.robust_losses import LOSSES  # imported here, since it imports torch

    return {
        "PTNL-GCE": ("PTNL", ("TRAINER.PTNL.LOSS", "gce")),
        # chosen on all validation images, and on test images too: reproductions, not comparable with few-shot methods
        "TipAdapter-val_full": ("TipAdapter", ("TRAINER.TIPADAPTER.SEARCH", "val_full")),
        "TipAdapterF-val_full-test": (
            "TipAdapterF",
            ("TRAINER.TIPADAPTER.SEARCH", "val_full", "TRAINER.TIPADAPTER.EPOCH", "test"),
        ),
        "DPSEP-intent": ("DPSEP", ("TRAINER.DPSEP.SEP_SIGN", "intent")),
        **{
            f"{host}-{loss if '_' in loss else loss.upper()}": (host, ("LOSS.NAME", loss))
            for host in LOSS_HOSTS
            for loss in LOSSES
            if loss != "ce"
        },
    }
