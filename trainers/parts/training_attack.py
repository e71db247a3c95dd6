"""The attack inside a training step: its config keys (TRAIN_ATTACK), and its steps on pixels.

In config units eps and alpha are in 1/255; in the code they are shares of the range [0, 1].
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from yacs.config import CfgNode

from dassl.config.domains import NOT_NEGATIVE, choice, number, whole
from dassl.utils import stream_seed

from ..shared.domains import declare
from ..shared.precision import choose_precision

A = "TRAIN_ATTACK."
# (eps, alpha, steps, loss, start) as published: two of APT, those of FAP and AdvMaPLe, and AdvPT's on features.
PRESETS = {
    "apt4": (4.0, 2.67, 3, "ce", "uniform"),
    "apt1": (1.0, 0.67, 3, "ce", "uniform"),
    "fap": (1.0, 1.0, 2, "kl", "uniform_clipped"),
    "advmaple": (1.0, 1.0, 2, "ce", "uniform_clipped"),
    "advpt": (8.0, 1.0, 10, "feature", "positive"),
}
AS_PRESET = -1
CONFIG_DEFAULTS = {
    A + "PRESET": "auto",  # auto: the method's own | apt4 | apt1 | fap | advmaple | advpt
    A + "EPS": -1.0,  # in 1/255; -1: PRESET's value, here and in the following keys
    A + "ALPHA": -1.0,  # in 1/255; -1 with another EPS: PRESET's ratio of alpha to eps
    A + "STEPS": -1,
    A + "LOSS": "auto",  # ce | kl: from the clean to the attacked prediction | feature: between raw embeddings
    A + "START": "auto",  # uniform | uniform_clipped: to the picture's range, after each step too | positive | none
    A + "OBJECTIVE": "host",  # of the training: host: its loss of attacked pictures | fap: FAP's, whose attack is kl
    A + "LAMBDA": 1.5,  # with OBJECTIVE fap: weight of the attacked pictures
    A + "PROMPT": "current",  # what the attack sees: current | fixed: "a photo of a NAME" | perturbed: ascends too
    A + "PROMPT_STEP": 0.0,  # of the ascent of a perturbed prompt
}
CONFIG_DOMAINS = declare(
    CONFIG_DEFAULTS,
    {
        A + "PRESET": choice("auto", *PRESETS),
        A + "EPS": number(-1, 255),
        A + "ALPHA": number(-1, 255),
        A + "STEPS": whole(-1),
        A + "LOSS": choice("auto", "ce", "kl", "feature"),
        A + "START": choice("auto", "uniform", "uniform_clipped", "positive", "none"),
        A + "OBJECTIVE": choice("host", "fap"),
        A + "LAMBDA": NOT_NEGATIVE,
        A + "PROMPT": choice("current", "fixed", "perturbed"),
        A + "PROMPT_STEP": NOT_NEGATIVE,
    },
)


@dataclass(frozen=True)
class TrainingAttack:
    """eps and alpha as shares of [0, 1]."""

    eps: float
    alpha: float
    steps: int
    loss: str
    start: str

    @classmethod
    def from_cfg(cls, cfg: CfgNode, preset: str) -> TrainingAttack:
        """preset: the method's own, for PRESET auto."""
        own = cfg.TRAIN_ATTACK
        eps, alpha, steps, loss, start = PRESETS[preset if own.PRESET == "auto" else own.PRESET]
        if own.EPS != AS_PRESET:
            eps, alpha = own.EPS, alpha / eps * own.EPS
        loss = "kl" if own.OBJECTIVE == "fap" and loss == "ce" else loss
        steps = steps if own.STEPS == AS_PRESET else own.STEPS
        loss, start = (mine if mine != "auto" else theirs for mine, theirs in ((own.LOSS, loss), (own.START, start)))
        if loss == "feature" and steps:
            alpha = 1.25 * eps / steps
        alpha = alpha if own.ALPHA == AS_PRESET else own.ALPHA
        return cls(eps / 255, alpha / 255, steps, loss, start)

    def told(self) -> dict[str, float | int | str]:
        """For results.json, in config units."""
        return {"eps": 255 * self.eps, "alpha": 255 * self.alpha, "steps": self.steps, "loss": self.loss} | {
            "start": self.start
        }

    def first(self, x: Tensor, seeds: Sequence[int]) -> Tensor:
        """delta_0 for pictures x [B, 3, h, w] in [0, 1]; drawn on the CPU, each image's with its own seed."""
        if self.start == "none":
            return torch.zeros_like(x)
        drawn = torch.stack([torch.rand(x.shape[1:], generator=torch.Generator().manual_seed(s)) for s in seeds]).to(x)
        delta = self.eps * (drawn if self.start == "positive" else 2 * drawn - 1)
        return (x + delta).clamp(0, 1) - x if self.start == "uniform_clipped" else delta

    def run(self, x: Tensor, gradient: Callable[[Tensor], Tensor], seeds: Sequence[int]) -> Tensor:
        """x' = clip(x + delta) after `steps` times delta <- clip(delta + alpha sign(gradient(x')), -eps, eps).

        With start `uniform` (APT) delta itself may leave the picture's range; only the picture x + delta is clipped.
        With the other starts delta is clipped to the range after each step. With `positive` (AdvPT) the first step
        uses the unclipped start.
        """
        delta = self.first(x, seeds)
        for step in range(self.steps):
            seen = x + delta if step == 0 and self.start == "positive" else (x + delta).clamp(0, 1)
            delta = (delta + self.alpha * gradient(seen).sign()).clamp(-self.eps, self.eps)
            if self.start != "uniform":
                delta = (x + delta).clamp(0, 1) - x
        return (x + delta).clamp(0, 1)


def attack_seeds(seed: int, epoch: int, items: Sequence[int]) -> list[int]:
    """Seeds of the items' draws in an epoch, which do not depend on batches, their order, or an interruption."""
    return [stream_seed(seed, "train attack", epoch, item) for item in items]


def attack_precision(wanted: str, device: torch.device) -> str:
    """The precision of a run that attacks: amp where fp16 is set, since attacks need weights in fp32."""
    return choose_precision("amp" if wanted == "fp16" else wanted, device)


def eps_of_tower(file: str) -> float | None:
    """The eps (in 1/255) that the name of a robust tower's file states (vitb32_eps4, tecoa_eps_2); None if none."""
    found = re.search(r"eps_?(\d+(?:\.\d+)?)", file.replace("\\", "/").rpartition("/")[2])
    return float(found[1]) if found else None
