"""Runs the attacks of `AttackSettings` on 8-bit pictures; success is measured on the 8-bit result."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dassl.utils import InputError, stream_seed

from .adapter import torchattack
from .authors import authors_attack
from .eot import expectation
from .evaluation import Logits, evaluation
from .feature import feature_attack
from .losses import divergence_from, hinge, margin
from .pgd import Found, fgsm, noise, pgd, project
from .quantise import quantise
from .settings import OWN, PARTS, AttackSettings


@dataclass
class Outcome:
    """The attacked pictures of B images and, per image, the model's predictions before and after.

    picture [B, 3, H, W] uint8 (float32 in [0, 1] where quant is none); clean_pred, float_pred, pred [B]: of the clean
    picture, of the attack's result before quantisation, of `picture`; margin [B]: of `picture`, negative where it is
    misclassified; zero_gradient [B]; attack: name of the attack that made the picture.
    """

    picture: Tensor
    clean_pred: Tensor
    float_pred: Tensor
    pred: Tensor
    margin: Tensor
    zero_gradient: Tensor
    attack: list[str]


def attack_pictures(
    settings: AttackSettings,
    logits: Logits,
    clean: Tensor,
    label: Tensor,
    seeds: Sequence[int],
    sample: Callable[[Tensor, int], Tensor] | None = None,
) -> Outcome:
    """Attacks uint8 pictures `clean` [B, 3, H, W] of class `label` [B]; everything on one device.

    seeds: one per image. sample: the random model of eot-pgd, see `eot.expectation`.
    The first attack's picture is kept as it is; further attacks run on images that are still correct, and an image
    takes their picture where it has a smaller margin.
    """
    x = clean.float() / 255
    scores = _scores(logits, x)
    found = Outcome(
        clean.clone() if settings.quant != "none" else x.clone(),
        scores.argmax(1), scores.argmax(1), scores.argmax(1), margin(scores, label),
        torch.zeros(len(x), dtype=torch.bool, device=x.device), ["none"] * len(x),
    )  # fmt: skip
    untouched = torch.ones_like(found.zero_gradient)
    for i, name in enumerate(settings.names):
        rows = (found.pred == label if i or settings.only_correct else untouched).nonzero()[:, 0]
        if name == "none" or len(rows) == 0:
            continue
        part = x[rows], label[rows], [seeds[row] for row in rows.tolist()]
        result = _run(name, settings, logits, *part, sample, scores.shape[1])
        ball = None if name == "cw-l2" else settings.eps
        adv = result.x if ball is None else project(result.x, part[0], settings.eps / 255)
        picture = adv if settings.quant == "none" else quantise(adv, clean[rows], ball, settings.quant)
        before = _scores(logits, adv)
        after = before if settings.quant == "none" else _scores(logits, picture.float() / 255)
        worse = untouched[rows] | (margin(after, part[1]) < found.margin[rows])
        take = rows[worse]
        found.picture[take], found.float_pred[take] = picture[worse], before.argmax(1)[worse]
        found.pred[take], found.margin[take] = after.argmax(1)[worse], margin(after, part[1])[worse]
        found.zero_gradient[rows] |= result.zero_gradient
        untouched[rows] = False
        for row in take.tolist():
            found.attack[row] = name
    return found


def _scores(logits: Logits, x: Tensor) -> Tensor:
    with torch.no_grad():
        return logits(x).float()


def _run(name: str, s: AttackSettings, logits: Logits, x, label, seeds, sample, classes: int) -> Found:
    eps, alpha = s.eps / 255, s.alpha / 255
    if name not in OWN:
        package = authors_attack if s.package == "autoattack" and name in PARTS else torchattack
        adv = package(name, logits, x, label, classes, s, stream_seed(s.seed, name, *seeds))
        return Found(adv, torch.zeros(len(x), dtype=torch.bool, device=x.device))
    if name == "fgsm":
        return fgsm(evaluation(logits, label), x, eps)
    if name == "noise":
        return noise(evaluation(logits, label), x, eps, seeds, s.restarts)
    if name == "eot-pgd" and sample is None:
        raise InputError("ATTACK.NAME eot-pgd averages over the draws of a random model, but this one is not random.")
    if name == "feature":
        if not hasattr(logits, "embed"):
            raise InputError(
                "ATTACK.NAME feature attacks an image tower without any prompt, so it is a transfer attack: take "
                "ATTACK.MODE T."
            )
        return feature_attack(logits.embed, x, eps, s.steps, seeds)
    if name == "cw":  # from the picture itself, as in the tests of APT and TTC
        evaluate = evaluation(logits, label, functools.partial(hinge, kappa=s.kappa))
        return pgd(evaluate, x, eps, alpha, s.steps, seeds, False, s.restarts, s.keep)
    if name == "tpgd":  # from a random point, since the divergence has no gradient at the picture itself
        evaluate = evaluation(logits, label, divergence_from(_scores(logits, x)))
        return pgd(evaluate, x, eps, alpha, s.steps, seeds, True, s.restarts, s.keep)
    evaluate = expectation(sample, label, s.draws, s.seed) if name == "eot-pgd" else evaluation(logits, label)
    return pgd(evaluate, x, eps, alpha, s.steps, seeds, s.random_start, s.restarts, s.keep)
