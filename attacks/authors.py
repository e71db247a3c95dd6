"""AutoAttack's parts from its authors' package (Croce and Hein, ICML 2020), which is not on PyPI."""

from __future__ import annotations

import torch
from torch import Tensor

from dassl.utils import InputError, seeded

from .adapter import LogitsModule
from .evaluation import Logits
from .settings import AttackSettings

INSTALL = "pip install git+https://github.com/fra31/auto-attack"
NAMES = {"apgd-ce": "apgd-ce", "apgd-dlr": "apgd-dlr", "apgd-dlr-t": "apgd-t", "fab-t": "fab-t", "square": "square"}


def authors_attack(
    name: str, logits: Logits, x: Tensor, label: Tensor, classes: int, s: AttackSettings, seed: int
) -> Tensor:
    """Attacked pictures [B, 3, H, W] of pictures x in [0, 1]; generators go on as if nothing had been drawn.

    name: a key of `NAMES`. The package leaves misclassified images as they are, and returns the clean picture where it
    fails. Raises InputError when the package is not installed.
    """
    try:
        from autoattack import AutoAttack
    except ImportError as error:
        raise InputError(
            f"ATTACK.PACKAGE autoattack is not installed, and PyPI does not have it; run: {INSTALL}, or take "
            "ATTACK.PACKAGE torchattacks."
        ) from error
    draw = seed % 2**31
    model = LogitsModule(logits, x.device).eval()
    made = AutoAttack(
        model, norm="Linf", eps=s.eps / 255, seed=draw, verbose=False, version="custom", attacks_to_run=[NAMES[name]],
        device=x.device,
    )  # fmt: skip
    targets = min(s.targets, classes - 1)
    for part in (made.apgd, made.apgd_targeted, made.fab):
        part.n_restarts, part.n_iter = s.restarts, s.steps
    made.apgd_targeted.n_target_classes = made.fab.n_target_classes = targets
    made.square.n_queries, made.square.n_restarts = s.queries, s.restarts
    with seeded(draw, cuda=True), torch.enable_grad():
        return made.run_standard_evaluation(x, label, bs=len(x)).detach()
