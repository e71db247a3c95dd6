"""PromptOT: pseudo-labels by optimal transport of items to classes (NLPrompt, Pan et al., CVPR 2025)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from clipkit import InputError

from .decisions import Decision

COSTS = ("prob", "logp")
ITERATIONS, TOLERANCE = 1000, 1e-6


def transport_plan(cost: Tensor, reg: float, column_mass: float = 1.0) -> Tensor:
    """The plan G [N, C] >= 0 that minimises <G, cost> - reg H(G), float64, by Sinkhorn iterations on logarithms.

    Each of the C columns gets column_mass / C. Each of the N rows gives 1 / N, or at most that if column_mass is below
    1. The regularisation is halved step by step down to `reg`, which needs fewer iterations for the same plan. The last
    step ends after ITERATIONS, or once the column sums are off by at most TOLERANCE in total.
    Raises InputError unless reg > 0 and 0 < column_mass <= 1.
    """
    if not reg > 0:
        raise InputError(f"The regularisation of the transport plan is {reg}, but must be above 0.")
    if not 0 < column_mass <= 1:
        raise InputError(f"The mass to transport is {column_mass}, but must lie above 0 and be at most 1.")
    cost = cost.double()
    n, c = cost.shape
    log_row, log_column = -math.log(n), math.log(column_mass / c)
    g = cost.new_zeros(c)  # potential of the columns, in units of cost
    stage = max(reg, (cost.max() - cost.min()).item())
    while True:
        plan, g = _sinkhorn(cost / stage, g / stage, log_row, log_column, column_mass < 1)
        if stage == reg:
            return plan
        g, stage = g * stage, max(reg, stage / 2)


def _sinkhorn(cost: Tensor, g: Tensor, log_row: float, log_column: float, partial: bool) -> tuple[Tensor, Tensor]:
    """One Sinkhorn run at regularisation 1 from the potential g [C]: (plan [N, C], new potential [C]). Rows are scaled
    last, so that their sums are exact."""
    for _ in range(ITERATIONS + 1):
        f = log_row - torch.logsumexp(g - cost, dim=1)
        if partial:
            f = f.clamp_max(0)  # projection onto "at most": a row with mass to spare is not scaled up
        column = torch.logsumexp(f[:, None] - cost, dim=0)
        if ((column + g).exp() - math.exp(log_column)).abs().sum() < TOLERANCE:
            break
        reached, g = g, log_column - column
    else:
        g = reached
    return (f[:, None] + g - cost).exp(), g


def class_plan(prob: Tensor, reg: float, cost: str = "prob", budget: float = 1.0) -> Tensor:
    """The plan [N, C] from predictions [N, C]: cost -p ("prob", as released) or -log p ("logp", as published)."""
    if cost not in COSTS:
        raise InputError(f"The transport cost is {cost!r}, but must be one of {', '.join(COSTS)}.")
    prob = prob.double()
    return transport_plan(-prob if cost == "prob" else -prob.clamp_min(torch.finfo(prob.dtype).tiny).log(), reg, budget)


def prompt_ot(prob: Tensor, reg: float, cost: str = "prob", budget: float = 1.0) -> tuple[Tensor, Tensor]:
    """From predictions [N, C] the pseudo-label argmax_c G_ic [N] and the row's maximum [N], at most 1 / N."""
    row_max, pseudo_label = class_plan(prob, reg, cost, budget).max(dim=1)
    return pseudo_label, row_max


def ot_decision(prob: Tensor, label: Tensor, reg: float, cost: str = "prob", budget: float = 1.0) -> Decision:
    """An item is clean if it is among the `budget` share with the highest row maximum and its pseudo-label is the
    observed label [N]. The score is the share of the item's mass that goes to the observed label, N G_{i, y_i}."""
    plan = class_plan(prob, reg, cost, budget)
    row_max, pseudo_label = plan.max(dim=1)
    selected = torch.zeros_like(label, dtype=torch.bool)
    selected[row_max.argsort(descending=True, stable=True)[: math.floor(budget * len(label) + 1e-9)]] = True
    score = len(label) * plan.gather(1, label[:, None])[:, 0]
    return Decision(selected & (pseudo_label == label), score)
