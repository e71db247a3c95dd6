"""Adaptive attacks: they know the whole defence, its random views, its tuning step and the weights of its views.

A randomised defence is attacked on average over random draws (expectation over transformation, EOT). The attacker draws
them itself, since it does not know the defence's seeds. A `Way` is one function of the defence that an attack follows.
None is the strongest on every image, so there are several, and an image counts as correct only if it survives all.
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
MAJORITY = 3  # random draws whose mean answers one query of the square attack


@dataclass(frozen=True)
class Eot:
    """Settings of the expectation over transformation (EOT), from ATTACK.EOT.

    draws: random draws a step, of `views` views each. step_grad: gradient of the tuning step, stop, unroll or both.
    bpda: the views include AugMix, whose colour operations are taken as the identity in the backward pass; without it
    they are crops and flips alone. loss: ce, dlr or both (a `Way` for each). known_draws: adds a `Way` that knows the
    views that the defence will draw.
    """

    draws: int = 4
    views: int = 8
    step_grad: str = "both"
    bpda: bool = True
    loss: str = "ce"
    known_draws: bool = False

    @classmethod
    def from_cfg(cls, cfg: CfgNode) -> Eot:
        """The settings in `cfg.ATTACK.EOT`."""
        node = cfg.ATTACK.EOT
        return cls(node.DRAWS, node.VIEWS, node.STEP_GRAD, node.BPDA, node.LOSS, node.KNOWN_DRAWS)

    @property
    def steps(self) -> tuple[str, ...]:
        return ("stop", "unroll") if self.step_grad == "both" else (self.step_grad,)


@dataclass(frozen=True)
class Way:
    """One function of a defence that an attack maximises the loss of.

    sample: (pictures [B, 3, H, W] in [0, 1], a seed for each) -> logits [B, C] of the answer, or [B, n, C] of views,
    whose losses are then added up. draws: whether the answer depends on the seed. known: whether it is given the
    defence's own seeds. views: views held in memory for each picture. loss: [B, C] logits, [B] labels -> [B].
    """

    name: str
    sample: Callable[[Tensor, Sequence[int]], Tensor]
    views: int
    draws: bool = True
    known: bool = False
    loss: Callable[[Tensor, Tensor], Tensor] = cross_entropy


def ways(trainer: TestTimeTrainer, eot: Eot) -> list[Way]:
    """The ways to attack a test-time method, cheap ones first. Raises InputError for DLR of two classes.

    plain           the picture itself under the initial prompt: undefended, as in a transfer attack
    views           the loss of every view under the initial prompt, without tuning
    untuned mean    the mean of the views' logits under the initial prompt
    stop, unroll    the method's own answer; gradient with the tuned prompt as a constant, or through the tuning step
    mean            as stop, with the mean over views in place of the method's weights
    output          the method's own answer, for a method that does not tune
    known draws     the method's own answer with the defence's own random draws, which no attacker could know
    ... dlr         the same with the difference of logits ratio as the loss in place of the cross-entropy
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
            own.pop("augmix", None)  # without AugMix the views would differ from the defence's
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
    """The mean loss and gradient of `way` over random draws, as a function that `pgd` and the other attacks call.

    images: a seed for each image, from which its draws come, so that they do not depend on the batch; the defence's
    own seeds if `way.known`.
    """

    def sample(x: Tensor, draw: int) -> Tensor:
        return way.sample(x, images if way.known else [stream_seed(draw, image) for image in images])

    draws = eot.draws if way.draws else 1
    return expectation(sample, label, draws, stream_seed(seed, way.name), functools.partial(total_loss, loss=way.loss))


def total_loss(logits: Tensor, label: Tensor, loss: Callable[[Tensor, Tensor], Tensor] = cross_entropy) -> Tensor:
    """[B]: the loss of logits [B, C], or the sum over views of the losses of logits [B, n, C]."""
    if logits.dim() == 2:
        return loss(logits, label)
    n = logits.shape[1]
    return loss(logits.flatten(0, 1), label.repeat_interleave(n)).view(-1, n).sum(dim=1)


def attack_way(
    way: Way, settings: AttackSettings, eot: Eot, clean: Tensor, label: Tensor, seeds: Sequence[int],
    own: Sequence[int] = (), what: str = "",
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Attack uint8 pictures `clean` [B, 3, H, W] through one `way`.

    Returns (uint8 pictures, [B] whether the gradient is zero at the start). `settings` name one attack of `NAMES`; a
    batch holds at most BATCH views. seeds: the attacker's, one per image. own: the defence's seeds, for a way that
    knows them. what: the name in progress lines. Raises InputError for other attacks, which assume a deterministic
    model.
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
    """Raises InputError unless `names` is one attack that works on a randomised defence."""
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
    """The square attack, which needs no gradients. Each query is answered by the mean logits of `MAJORITY` draws; the
    seeds of the draws depend on an image's place in the batch."""
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
