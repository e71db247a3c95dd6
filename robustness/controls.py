"""Attacks with a known outcome on a few images, from which the sanity checks are computed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch

from attacks import AttackSettings
from dassl.utils import stream_seed

from . import checks
from .checks import Check, not_run
from .evaluate import Answers, Attacked, Images, percent, run_attack

EPS = (1.0, 2.0, 4.0, 8.0, 16.0)
STEPS = (7, 20, 100)
UNBOUNDED = (64.0, 255.0)
OFTEN = "--checks all runs it"


@dataclass
class Controls:
    """Attacks the check images `rows` of an evaluation again, with other settings. main: the evaluation's attack."""

    attacker: object
    deployed: Callable
    settings: AttackSettings
    images: Images
    clean: Answers
    rows: Sequence[int]
    main: Attacked

    def accuracy(self, label: torch.Tensor | None = None, **changes: object) -> float:
        """Accuracy of the deployed method in percent under PGD, with the evaluation's settings and these changes."""
        s = {"names": ("pgd",), "restarts": 1, "keep": "best_loss", "only_correct": False} | changes
        if self.settings.eps and "eps" in s:
            s.setdefault("alpha", self.settings.alpha * s["eps"] / self.settings.eps)
        settings = replace(self.settings, **s)
        quick = {"quick": True, "label": label}
        found = run_attack(self.attacker, self.deployed, settings, self.images, self.clean, self.rows, **quick)
        return found.accuracy

    @cached_property
    def here(self) -> float:
        """Accuracy on the check images under the evaluation's own attack, in percent."""
        return percent(self.main.part(self.rows))

    @cached_property
    def pgd(self) -> float:
        return self.accuracy()

    def shuffled(self) -> torch.Tensor:
        """Labels [N] in which those of the check images are permuted, such that as many as possible are wrong."""
        label, rows = self.images.label.clone(), list(self.rows)
        order = sorted(rows, key=lambda row: (int(label[row]), stream_seed(self.settings.seed, "shuffle", row)))
        half = max(int((label[rows] == c).sum()) for c in label[rows].unique())
        label[order] = self.images.label[order[half:] + order[:half]]
        return label


def cheap(c: Controls) -> list[Check]:
    """The checks that cost little: S5 and S9."""
    zero = c.attacker.no_gradient(*c.images.some(c.rows)[:2], c.settings.batch)
    noise = c.accuracy(names=("noise",))
    return [checks.noise_is_weakest(noise, c.here), checks.has_gradients(zero)]


def thorough(c: Controls, mode: str, classes: int) -> list[Check]:
    """The checks that need further attacks: S3, S4, S7, S8, S10, S12."""
    n = len(c.rows)
    by_eps = {0.0: percent(c.clean.right(c.images.label)[list(c.rows)]), c.settings.eps: c.pgd}
    by_eps |= {eps: c.accuracy(eps=eps) for eps in EPS if eps not in by_eps}
    by_steps = {c.settings.steps: c.pgd}
    by_steps |= {steps: c.accuracy(steps=steps) for steps in STEPS if steps not in by_steps}
    for eps in UNBOUNDED:
        unbounded = checks.unbounded_succeeds(c.accuracy(eps=eps, steps=100, alpha=eps / 10), mode, classes)
        if unbounded.passed:
            break
    return [
        checks.more_is_not_weaker(by_eps, by_steps, n),
        unbounded,
        checks.more_does_not_help(c.pgd, c.accuracy(restarts=3), n),
        checks.square_does_not_win(c.accuracy(names=("square",)), c.here, n),
        checks.one_step_is_weaker(c.accuracy(names=("fgsm",)), by_steps[20], n),
        checks.labels_matter(by_eps[0.0], c.pgd, c.accuracy(label=c.shuffled())),
    ]


def skipped(codes: Sequence[str], why: str) -> list[Check]:
    """The results of checks that were not run, all for the same reason `why`."""
    return [not_run(code, why) for code in codes]
