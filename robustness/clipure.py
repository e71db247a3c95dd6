"""CLIPure-Cos, a positive control of the checks for masked gradients: a model that looks robust but is not.

As published (10 steps of size 30) it gives the feature of a single image back unchanged, while each step divides the
gradient that a white-box attack follows by 30: by 6e14 in all, which a tower in half precision rounds to 0. So gradient
attacks fail, and the checks S8 and S9 must detect it. It is not a defence, not a method of this project, and in no
table.

python -m robustness clipure digits --subset 40 --eps 4 --steps 20 --queries 500
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from tabulate import tabulate
from torch import Tensor

from attacks import AttackSettings, Surrogate, attack_pictures
from clipkit import TextEncoder, normalize
from dassl.utils import InputError
from datasets.attacked.make import attacked_backbone, image_seeds
from datasets.attacked.manifest import stratified
from datasets.attacked.pictures import base_pictures, picture_transform
from datasets.commands.attack import add_command, attack_cfg
from datasets.reading.catalog import find
from datasets.templates import FULL80

from .checks import Check, has_gradients, square_does_not_win

STEPS, SIZE, IMAGES = 10, 30.0, 40


def purified(z: Tensor, anchor: Tensor, steps: int = STEPS, size: float = SIZE, whole_batch: bool = False) -> Tensor:
    """u [B, d]: the unit features z after `steps` steps of length `size` down the gradient of -cos(u, anchor). This
    gradient is divided by its norm and taken as constant in the backward pass.

    anchor: [d], the mean feature of templates with an empty name. whole_batch: one norm for the whole batch, as
    published, so an image's feature depends on the others; else one norm per image, as for a batch of one.
    """
    anchor = normalize(anchor)
    u = normalize(z)
    for _ in range(steps):
        with torch.no_grad():
            gradient = (u @ anchor)[:, None] * u - anchor  # of -cos at a unit vector
            norm = gradient.norm() if whole_batch else gradient.norm(dim=1, keepdim=True)
            direction = gradient / norm
        u = normalize(u - size * direction)
    return u


class Purified:
    """Frozen CLIP whose image features are purified: float32 [B, 3, H, W] in [0, 1] -> logits [B, C].

    Features and their gradient are converted to half precision, as published. straight: the backward pass treats the
    purification as the identity, which it nearly is (BPDA).
    """

    def __init__(self, surrogate: Surrogate, straight: bool = False) -> None:
        self.surrogate, self.straight = surrogate, straight
        empty = [template.format("") for template in FULL80]
        self.anchor = normalize(TextEncoder(surrogate.clip).encode_texts(empty).mean(0))

    def __call__(self, x01: Tensor) -> Tensor:
        s = self.surrogate
        z = normalize(s.encoder((x01 - s.mean) / s.std).half().float())
        u = z + (purified(z, self.anchor) - z).detach() if self.straight else purified(z, self.anchor)
        return s.scale * u @ s.text.t()


@dataclass(frozen=True)
class Control:
    """Accuracies in percent of the purified model. clean: without attack; gradient: under PGD through the purification;
    square: under Square; straight: under PGD past it; plain: under PGD of frozen CLIP without it (transfer)."""

    clean: float
    gradient: float
    square: float
    straight: float
    plain: float
    zero_gradient: Tensor
    images: int

    @property
    def checks(self) -> list[Check]:
        return [square_does_not_win(self.square, self.gradient, self.images), has_gradients(self.zero_gradient)]

    @property
    def masked(self) -> bool:
        """Whether the control has the expected result: a check fails, and PGD past the purification succeeds."""
        return any(check.passed is False for check in self.checks) and self.straight < self.gradient


def control(surrogate: Surrogate, clean: Tensor, label: Tensor, seeds: Sequence[int], s: AttackSettings) -> Control:
    """Attack the purified model on uint8 pictures `clean` [B, 3, H, W] of class `label` [B], by PGD and by Square."""
    deployed, straight = Purified(surrogate), Purified(surrogate, straight=True)
    right: dict[str, list[Tensor]] = {}
    zero = []
    for rows in torch.arange(len(clean)).split(s.batch):
        u8, y, own = clean[rows], label[rows], [seeds[i] for i in rows.tolist()]
        attacks = {"gradient": ("pgd", deployed), "straight": ("pgd", straight), "plain": ("pgd", surrogate)}
        attacks["square"] = ("square", deployed)
        pictures = {"clean": u8}
        for name, (attack, logits) in attacks.items():
            found = attack_pictures(replace(s, names=(attack,)), logits, u8, y, own)
            pictures[name] = found.picture
            zero += [found.zero_gradient] if name == "gradient" else []
        with torch.no_grad():
            for name, picture in pictures.items():
                right.setdefault(name, []).append(deployed(picture.float() / 255).argmax(1) == y)
    figures = {name: 100 * torch.cat(each).double().mean().item() for name, each in right.items()}
    return Control(**figures, zero_gradient=torch.cat(zero), images=len(clean))


def main(words: Sequence[str]) -> int:
    """Print the control for a dataset. Returns 0 if the masked gradient was found, else 1.

    words: those of `python -m datasets attack`. Raises InputError for an unknown dataset or settings, and for eps 0.
    """
    parser = argparse.ArgumentParser(prog="python -m robustness clipure", description=__doc__)
    add_command(parser.add_subparsers())
    args = parser.parse_args(["attack", *words])
    entry = find(args.name)
    cfg = attack_cfg(entry, args)
    device = torch.device("cuda" if torch.cuda.is_available() and cfg.USE_CUDA else "cpu")
    clip = attacked_backbone(cfg, device)
    cfg.INPUT.SIZE = (clip.visual.input_resolution,) * 2
    dataset = entry.loader(cfg)
    s = AttackSettings.from_cfg(cfg, len(dataset.classnames))
    if s.eps == 0:
        raise InputError("--eps is 0, at which nothing is attacked; give the control an eps above 0.")
    items = list(dataset.test)
    rows = stratified([item.label for item in items], min(cfg.ATTACK.SUBSET or IMAGES, len(items)), s.seed)
    chosen = [items[i] for i in rows]
    pictures = base_pictures(chosen, picture_transform(cfg))
    clean = torch.stack([pictures[i] for i in range(len(chosen))]).to(device)
    label = torch.tensor([item.label for item in chosen], device=device)
    seeds = image_seeds(s.seed, cfg.DATASET.NAME, args.split, [item.impath for item in chosen])
    surrogate = Surrogate(clip, dataset.classnames, cfg.ATTACK.PROMPT, cfg.INPUT.PIXEL_MEAN, cfg.INPUT.PIXEL_STD)
    found = control(surrogate, clean, label, seeds, s)
    print(_text(found, s))  # noqa: T201
    return 0 if found.masked else 1


def _text(found: Control, s: AttackSettings) -> str:
    rows = [
        ("no attack", found.clean), ("PGD through the purification", found.gradient),
        (f"Square, {s.queries} queries", found.square), ("PGD past the purification (BPDA)", found.straight),
        ("PGD of frozen CLIP (transfer)", found.plain),
    ]  # fmt: skip
    table = tabulate([[name, f"{value:.1f}"] for name, value in rows], ["attack", "accuracy, %"], disable_numparse=True)
    checks = "\n".join(f"{check.code} {check.verdict}: {check.detail}" for check in found.checks)
    end = "found by the checks, as expected" if found.masked else "not found by the checks"
    return (
        f"Control: CLIPure-Cos, which is no defence; {found.images} images, eps {s.eps:g}/255, {s.steps} steps\n\n"
        f"{table}\n\n"
        f"{checks}\nMasked gradients: {end}."
    )
