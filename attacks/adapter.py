"""Attacks of the package torchattacks 3.5.1, with the budgets of their papers, without effect on the run's draws.

The package's own defaults are not those of the papers (10 iterations of APGD and FAB where AutoAttack has 100), so
every argument is given here. They draw for a whole batch, so their pictures depend on the batch size.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dassl.utils import InputError, seeded

from .evaluation import Logits
from .settings import AttackSettings

VERSION = "3.5.1"


class LogitsModule(nn.Module):
    """The logits function as a module with a device, as packages of attacks need it."""

    def __init__(self, logits: Logits, device: torch.device) -> None:
        super().__init__()
        self.logits = logits
        self.place = nn.Parameter(torch.zeros((), device=device), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x)


def torchattack(
    name: str, logits: Logits, x: Tensor, label: Tensor, classes: int, s: AttackSettings, seed: int
) -> Tensor:
    """Attacked pictures [B, 3, H, W]; Python's, numpy's and torch's generators go on as if nothing had been drawn.

    name: apgd-ce, apgd-dlr, apgd-dlr-t, fab-t, square, cw-l2 or di. `classes`: their number.
    Raises InputError when the package is not installed.
    """
    try:
        import torchattacks
    except ImportError as error:
        raise InputError(
            f"ATTACK.NAME {name} is from the package torchattacks, which is not installed; "
            f"run: pip install --no-deps torchattacks=={VERSION}"
        ) from error
    model, eps, draw = LogitsModule(logits, x.device), s.eps / 255, seed % 2**31
    targets = min(s.targets, classes - 1) + 1  # the package's number of classes includes the label's
    apgd = {"norm": "Linf", "eps": eps, "steps": s.steps, "n_restarts": s.restarts, "seed": draw}
    make = {
        "apgd-ce": lambda: torchattacks.APGD(model, **apgd, loss="ce", eot_iter=1, rho=0.75),
        "apgd-dlr": lambda: torchattacks.APGD(model, **apgd, loss="dlr", eot_iter=1, rho=0.75),
        "apgd-dlr-t": lambda: torchattacks.APGDT(model, **apgd, eot_iter=1, rho=0.75, n_classes=targets),
        "fab-t": lambda: torchattacks.FAB(
            model, **apgd, alpha_max=0.1, eta=1.05, beta=0.9, multi_targeted=True, n_classes=targets
        ),
        "square": lambda: torchattacks.Square(
            model, norm="Linf", eps=eps, n_queries=s.queries, n_restarts=s.restarts, p_init=0.8, loss="margin",
            resc_schedule=True, seed=draw,
        ),
        "cw-l2": lambda: torchattacks.CW(model, c=1, kappa=0, steps=s.steps, lr=0.01),
        "di": lambda: torchattacks.DIFGSM(
            model, eps=eps, alpha=s.alpha / 255, steps=s.steps, decay=0.0, resize_rate=0.9, diversity_prob=0.5,
            random_start=False,
        ),
    }[name]  # fmt: skip
    with seeded(draw, cuda=True), torch.enable_grad():
        return make()(x, label).detach()
