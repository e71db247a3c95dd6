"""Attacks that know the whole defence: its random views, its tuning step, how it weighs the views' answers.

A defence that draws is attacked on average over draws of the attacker's own (EOT); the defender's are not known to it.
No single way through a defence is the strongest on every image, so there are several, and an image must survive all.
"""

from __future__ import annotations

import functools
import inspect
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from yacs.config import CfgNode

from attacks.adapter import torchattack
from attacks.eot import expectation
from attacks.evaluation import Evaluate
from attacks.losses import cross_entropy, dlr
from attacks.pgd import Found, fgsm, noise, pgd, project
from attacks.quantise import quantise
from attacks.settings import AttackSettings
from attacks.told import Told
from dassl.utils import InputError, stream_seed
from trainers.tta.adaptive_views import differentiable_views

if TYPE_CHECKING:
    from trainers.tta.trainer import TestTimeTrainer

NAMES = ("pgd", "fgsm", "noise", "square", "none")
MAJORITY = 3  # draws that a query of square is answered by


@dataclass(frozen=True)
class Eot:
    """draws of `views` views each at every step; step_grad: stop, unroll or both; bpda: through AugMix too, whose
    colour operations pass the gradient on, or else through crops and flips alone; loss: ce, dlr or both, a way each;
    known_draws: also a way that is told the views that the defence will draw."""

    draws: int = 4
    views: int = 8
    step_grad: str = "both"
    bpda: bool = True
    loss: str = "ce"
    known_draws: bool = False

    @classmethod
    def from_cfg(cls, cfg: CfgNode) -> Eot:
        node = cfg.ATTACK.EOT
        return cls(node.DRAWS, node.VIEWS, node.STEP_GRAD, node.BPDA, node.LOSS, node.KNOWN_DRAWS)

    @property
    def steps(self) -> tuple[str, ...]:
        return ("stop", "unroll") if self.step_grad == "both" else (self.step_grad,)


@dataclass(frozen=True)
class Way:
    """One way through a defence.

    sample: (pictures [B, 3, H, W] in [0, 1], a seed for each) -> logits [B, C] of the answer, or [B, n, C] of views,
    whose losses are then added up. draws: whether another seed is another answer. known: it is told the defence's own
    seeds. views: how many are held in memory for a picture. loss: [B, C] logits, [B] labels -> [B].
    """

    name: str
    sample: Callable[[Tensor, Sequence[int]], Tensor]
    views: int
    draws: bool = True
    known: bool = False
    loss: Callable[[Tensor, Tensor], Tensor] = cross_entropy


def ways(trainer: TestTimeTrainer, eot: Eot) -> list[Way]:
    """The ways through a test-time method, cheap ones first. Raises InputError for DLR of two classes.

    plain           the picture itself under the prompt as it starts: undefended, as transfer attacks have it
    views           the loss of every view under that prompt, no inner loop
    untuned mean    the mean of the views' logits
    stop, unroll    the method's own answer, the tuned prompt as a constant, or through a smooth tuning step
    mean            as stop, with the mean over views in place of the method's weights
    output          the method's own answer, where it does not tune
    known draws     the method's own answer with the draws that it will have, more than an attacker could know
    ... dlr         the same, against the difference of logits ratio in place of the cross-entropy
    """
    found = _ways(trainer, eot)
    if eot.loss == "ce":
        return found
    if (classes := len(trainer.dm.dataset.classnames)) < 3:
        raise InputError(f"ATTACK.EOT.LOSS {eot.loss}: DLR needs at least 3 classes, but there are {classes}; take ce.")
    other = [replace(way, name=f"{way.name} dlr", loss=dlr) for way in found]
    return other if eot.loss == "dlr" else [*found, *other]


def _ways(trainer: TestTimeTrainer, eot: Eot) -> list[Way]:
    options: dict[str, object] = {"views": eot.views} | ({} if eot.bpda else {"augmix": False})

    def views(x: Tensor, seeds: Sequence[int], **other: object) -> Tensor:
        with torch.enable_grad():
            made = differentiable_views(trainer.views, x, seeds, **(options | other))
            return trainer.view_logits(trainer.encode_views(made), trainer.text_features().detach())

    known = inspect.signature(trainer.pixel_logits).parameters
    anything = any(p.kind is p.VAR_KEYWORD for p in known.values())

    def answer(name: str, known_draws: bool = False, **how: object) -> Way:
        own = options | ({"views": trainer.n_views()} if known_draws else {})
        own = {key: value for key, value in own.items() if key in known or anything} | how
        if known_draws:
            own.pop("augmix", None)  # else the views would not be the defence's
        count = trainer.n_views() if known_draws else eot.views
        sample = lambda x, seeds: trainer.pixel_logits(x, seed=seeds, **own)  # noqa: E731
        return Way(name, sample, count, draws=not known_draws, known=known_draws)

    tunes = hasattr(trainer, "tune")
    found = [Way("plain", lambda x, seeds: views(x, seeds, views=1)[:, 0], 1, draws=False)]
    if trainer.n_views() > 1:
        mean = lambda x, seeds: views(x, seeds).mean(dim=1)  # noqa: E731
        found += [Way("views", views, eot.views), Way("untuned mean", mean, eot.views)]
    if tunes:
        found.append(answer(eot.steps[0], step=eot.steps[0]))
        if trainer.choice("ENSEMBLE") != "mean":
            found.append(answer("mean", step=eot.steps[0], ensemble="mean"))
        found += [answer(step, step=step) for step in eot.steps[1:]]
    else:
        found.append(answer("output"))
    if eot.known_draws:
        found.append(answer("known draws", True, **({"step": eot.steps[0]} if tunes else {})))
    return found


def objective(way: Way, label: Tensor, eot: Eot, seed: int, images: Sequence[int]) -> Evaluate:
    """Mean loss and gradient of a way over draws, for `pgd` and its like.

    images: a seed for each, from which its draws come, so that they do not depend on the batch that it is in; the
    defence's own for a way that is told them.
    """

    def sample(x: Tensor, draw: int) -> Tensor:
        return way.sample(x, images if way.known else [stream_seed(draw, image) for image in images])

    draws = eot.draws if way.draws else 1
    return expectation(sample, label, draws, stream_seed(seed, way.name), functools.partial(total_loss, loss=way.loss))


def total_loss(logits: Tensor, label: Tensor, loss: Callable[[Tensor, Tensor], Tensor] = cross_entropy) -> Tensor:
    """[B]: the loss of logits [B, C]; of the views' logits [B, n, C] the sum over views."""
    if logits.dim() == 2:
        return loss(logits, label)
    n = logits.shape[1]
    return loss(logits.flatten(0, 1), label.repeat_interleave(n)).view(-1, n).sum(dim=1)


def attack_way(
    way: Way, settings: AttackSettings, eot: Eot, clean: Tensor, label: Tensor, seeds: Sequence[int],
    own: Sequence[int] = (), what: str = "",
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """(uint8 pictures, [B] without gradient at the start) of uint8 pictures `clean` [B, 3, H, W], attacked that way.

    `settings` name one attack of `NAMES`, in batches such that BATCH views are held at once. seeds: of the attacker,
    one an image; own: those that the defence draws by, for a way that is told them. what: how lines on its
    progress call it. Raises InputError for other attacks: those of AutoAttack take a model to be deterministic.
    """
    check_names(settings.names)
    size = max(1, settings.batch // way.views)
    parts, batches = [], torch.arange(len(clean)).split(size)
    steps = settings.steps + 1 if settings.names[0] in ("pgd", "square") else 1
    told = Told(what or way.name, len(batches) * steps * max(1, settings.restarts))
    for rows in batches:
        u8, y = clean[rows], label[rows]
        x = u8.float() / 255
        given, images = ([some[i] for i in rows.tolist()] for some in (seeds, own if way.known else seeds))
        found = _run(way, settings, eot, x, y, given, images, told)
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


def _run(
    way: Way, s: AttackSettings, eot: Eot, x: Tensor, label: Tensor, seeds: list[int], images: list[int], told: Told
) -> Found:
    eps, name = s.eps / 255, s.names[0]
    evaluate = told.evaluations(objective(way, label, eot, s.seed, images))
    if name == "none":
        return Found(x, torch.zeros(len(x), dtype=torch.bool, device=x.device))
    if name == "fgsm":
        return fgsm(evaluate, x, eps)
    if name == "noise":
        return noise(evaluate, x, eps, seeds, s.restarts)
    if name == "square":
        return _square(way, s, x, label, seeds, told)
    return pgd(evaluate, x, eps, s.alpha / 255, s.steps, seeds, s.random_start, s.restarts, s.keep)


def _square(way: Way, s: AttackSettings, x: Tensor, label: Tensor, seeds: list[int], told: Told) -> Found:
    """Without gradients. A query is answered by the mean of `MAJORITY` draws, which depend on its place in a batch."""
    number = itertools.count()

    def draw(picture: Tensor, *parts: object) -> Tensor:
        return way.sample(picture, [stream_seed(s.seed, *parts, i) for i in range(len(picture))]).detach()

    @torch.no_grad()
    def logits(picture: Tensor) -> Tensor:
        query = next(number)
        found = [draw(picture, "query", query, k) for k in range(MAJORITY)]
        mean = torch.stack(found).mean(dim=0)
        told.tick()
        return mean.mean(dim=1) if mean.dim() == 3 else mean

    classes = logits(x[:1]).shape[1]
    adv = torchattack("square", logits, x, label, classes, s, stream_seed(s.seed, "square", *seeds))
    return Found(adv, torch.zeros(len(x), dtype=torch.bool, device=x.device))
