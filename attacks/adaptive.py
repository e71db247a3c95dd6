"""Attacks that know the whole defence: its random views, its tuning step, how it weighs the views' answers.

A defence that draws is attacked on average over draws of the attacker's own (EOT); the defender's are not known to it.
No single way through a defence is the strongest on every image, so there are several, and an image must survive all.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dassl.utils import InputError, derive_seed

from .adapter import torchattack
from .eot import expectation
from .evaluation import Evaluate
from .losses import cross_entropy
from .pgd import Found, fgsm, noise, pgd, project
from .quantise import quantise
from .settings import AttackSettings

NAMES = ("pgd", "fgsm", "noise", "square", "none")
MAJORITY = 3  # draws that a query of square is answered by


@dataclass(frozen=True)
class Eot:
    """draws of `views` views each at every step; step_grad: stop, unroll or both; bpda: through AugMix too, whose
    colour operations pass the gradient on, or else through crops and flips alone."""

    draws: int = 4
    views: int = 8
    step_grad: str = "both"
    bpda: bool = True

    @classmethod
    def from_cfg(cls, cfg) -> Eot:
        node = cfg.ATTACK.EOT
        if node.VIEWS < 1:
            raise InputError(f"ATTACK.EOT.VIEWS is {node.VIEWS}, but must be at least 1.")
        return cls(node.DRAWS, node.VIEWS, node.STEP_GRAD, node.BPDA)

    @property
    def steps(self) -> tuple[str, ...]:
        return ("stop", "unroll") if self.step_grad == "both" else (self.step_grad,)


@dataclass(frozen=True)
class Way:
    """One way through a defence. sample: (pictures [B, 3, H, W] in [0, 1], seed of the draw) -> logits [B, C] of the
    answer, or [B, n, C] of the views, whose losses are then added up. draws: whether another seed is another answer."""

    name: str
    sample: Callable[[Tensor, int], Tensor]
    draws: bool = True


def ways(trainer, eot: Eot) -> list[Way]:
    """The ways through a test-time method, cheap ones first:

    plain           the picture itself under the prompt as it starts: undefended, as transfer attacks have it
    views           the loss of every view under that prompt, no inner loop
    untuned mean    the mean of the views' logits
    stop, unroll    the method's own answer, the tuned prompt as a constant, or through a smooth tuning step
    mean            as stop, with the mean over views in place of the method's weights
    output          the method's own answer, where it does not tune
    """
    options: dict[str, object] = {"views": eot.views} | ({} if eot.bpda else {"augmix": False})

    def views(x: Tensor, seed: int, **other: object) -> Tensor:
        from trainers.adaptive_views import attack_seeds, differentiable_views  # it imports this package

        with torch.enable_grad():
            made = differentiable_views(trainer.views, x, attack_seeds(len(x), seed), **(options | other))
            return trainer.view_logits(trainer.encode_views(made), trainer.text_features().detach())

    known = inspect.signature(trainer.pixel_logits).parameters
    anything = any(p.kind is p.VAR_KEYWORD for p in known.values())
    given = {key: value for key, value in options.items() if key in known or anything}

    def answer(name: str, **how: object) -> Way:
        return Way(name, lambda x, seed: trainer.pixel_logits(x, seed=seed, **given, **how))

    found = [Way("plain", lambda x, seed: views(x, seed, views=1)[:, 0], draws=False)]
    if trainer.n_views() > 1:
        found += [Way("views", views), Way("untuned mean", lambda x, seed: views(x, seed).mean(dim=1))]
    if not hasattr(trainer, "tune"):
        return [*found, answer("output")]
    found.append(answer(eot.steps[0], step=eot.steps[0]))
    if trainer.choice("ENSEMBLE") != "mean":
        found.append(answer("mean", step=eot.steps[0], ensemble="mean"))
    return found + [answer(step, step=step) for step in eot.steps[1:]]


def objective(way: Way, label: Tensor, eot: Eot, seed: int) -> Evaluate:
    """Mean loss and gradient of a way over draws, for `pgd` and its like."""
    return expectation(way.sample, label, eot.draws if way.draws else 1, derive_seed(seed, way.name), total_loss)


def total_loss(logits: Tensor, label: Tensor) -> Tensor:
    """[B]: cross-entropy of logits [B, C]; of the views' logits [B, n, C] the sum over views."""
    if logits.dim() == 2:
        return cross_entropy(logits, label)
    n = logits.shape[1]
    return cross_entropy(logits.flatten(0, 1), label.repeat_interleave(n)).view(-1, n).sum(dim=1)


def attack_way(
    way: Way, settings: AttackSettings, eot: Eot, clean: Tensor, label: Tensor, seeds: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """(uint8 pictures, [B] without gradient at the start) of uint8 pictures `clean` [B, 3, H, W], attacked that way.

    `settings` name one attack of `NAMES`, in batches such that BATCH views are held at once. An image's draws of views
    depend on its place in the batch. Raises InputError for other attacks: those of AutoAttack take a model to be
    deterministic.
    """
    check_names(settings.names)
    size = max(1, settings.batch // eot.views)
    parts = []
    for rows in torch.arange(len(clean)).split(size):
        u8, y = clean[rows], label[rows]
        x = u8.float() / 255
        found = _run(way, settings, eot, x, y, [seeds[i] for i in rows.tolist()])
        adv = project(found.x, x, settings.eps / 255)
        parts.append((quantise(adv, u8, settings.eps, settings.quant), found.zero_gradient))
    return torch.cat([p for p, _ in parts]), torch.cat([z for _, z in parts])


def check_names(names: Sequence[str]) -> None:
    """Raises InputError unless there is one attack, of those that a defence that draws can be attacked by."""
    if len(names) != 1 or names[0] not in NAMES:
        raise InputError(
            f"ATTACK.NAME {','.join(names)}: a defence that draws is attacked by one of {', '.join(NAMES)}; the others "
            "take the model to be deterministic."
        )


def _run(way: Way, s: AttackSettings, eot: Eot, x: Tensor, label: Tensor, seeds: list[int]) -> Found:
    eps, name = s.eps / 255, s.names[0]
    evaluate = objective(way, label, eot, s.seed)
    if name == "none":
        return Found(x, torch.zeros(len(x), dtype=torch.bool, device=x.device))
    if name == "fgsm":
        return fgsm(evaluate, x, eps)
    if name == "noise":
        return noise(evaluate, x, eps, seeds, s.restarts)
    if name == "square":
        return _square(way, s, x, label, seeds)
    return pgd(evaluate, x, eps, s.alpha / 255, s.steps, seeds, s.random_start, s.restarts, s.keep)


def _square(way: Way, s: AttackSettings, x: Tensor, label: Tensor, seeds: list[int]) -> Found:
    """Without gradients: a query is answered by the mean of `MAJORITY` draws."""
    number = itertools.count()

    @torch.no_grad()
    def logits(picture: Tensor) -> Tensor:
        query = next(number)
        found = [way.sample(picture, derive_seed(s.seed, "query", query, k)).detach() for k in range(MAJORITY)]
        mean = torch.stack(found).mean(dim=0)
        return mean.mean(dim=1) if mean.dim() == 3 else mean

    classes = logits(x[:1]).shape[1]
    adv = torchattack("square", logits, x, label, classes, s, derive_seed(s.seed, "square", *seeds))
    return Found(adv, torch.zeros(len(x), dtype=torch.bool, device=x.device))
