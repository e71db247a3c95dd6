"""The adversaries of an evaluation: transfer, white-box and adaptive.

Each has one or more parts. A part is an attack that turns clean pictures into attacked ones; an image survives only if
it survives every part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from attacks import AttackSettings, PixelModel, attack_pictures, evaluation
from attacks.evaluation import Logits
from dassl.utils.progress import progress
from robustness.adaptive import Eot, Way, attack_way, objective, ways
from trainers.tta.trainer import TestTimeTrainer

if TYPE_CHECKING:
    from dassl.protocols import Trainer
    from datasets.attacked.store import AdversarialSet


class Batch(NamedTuple):
    """B images to attack: their rows in the test list, uint8 pictures [B, 3, H, W], the labels [B] that the attack is
    given, and a seed for each."""

    rows: Sequence[int]
    clean: Tensor
    label: Tensor
    seeds: Sequence[int]


Part = Callable[[Batch], Tensor]  # -> attacked pictures, uint8 [B, 3, H, W] on the CPU


class Stored:
    """The transfer attack: it knows frozen CLIP alone, and its pictures are read from an adversarial set."""

    mode = "transfer"
    survivors_only = False

    def __init__(self, adversarial: AdversarialSet) -> None:
        self.adversarial = adversarial

    def parts(self, settings: AttackSettings, quick: bool = False) -> dict[str, Part]:
        """{title of the attack: look-up of the stored pictures}. quick: no effect here."""
        return {settings.title: lambda batch: torch.stack([self.adversarial.picture(row) for row in batch.rows])}


class WhiteBox:
    """The white-box attack: it knows the method and its prompts, and follows the gradient of the method's own logits.

    For deterministic methods. opened: returns a context manager that gives a function from pictures in [0, 1] to
    logits.
    """

    mode = "white-box"
    survivors_only = False  # every image is attacked, also one whose clean picture is misclassified

    def __init__(self, opened: Callable, device: torch.device | str = "cpu") -> None:
        self.opened, self.device = opened, torch.device(device)

    def parts(self, settings: AttackSettings, quick: bool = False) -> dict[str, Part]:
        """{title of the attack: attack by the gradient of the method's own logits}. quick: no effect here."""

        def attacked(batch: Batch) -> Tensor:
            found = []
            with self.opened() as logits:
                for i in progress(torch.arange(len(batch.rows)).split(settings.batch), desc=f"{settings.title}, batch"):
                    u8, y = batch.clean[i].to(self.device), batch.label[i].to(self.device)
                    seeds = [batch.seeds[k] for k in i.tolist()]
                    found.append(attack_pictures(settings, logits, u8, y, seeds).picture.cpu())
            return torch.cat(found)

        return {settings.title: attacked}

    def no_gradient(self, clean: Tensor, label: Tensor, batch: int) -> Tensor:
        """[B]: whether the gradient of the loss is zero at every pixel of the clean picture."""
        found = []
        with self.opened() as logits:
            for u8, y in zip(clean.split(batch), label.split(batch), strict=True):
                value = evaluation(logits, y.to(self.device))(u8.to(self.device).float() / 255, 0, 0, True)
                found.append((value.gradient.flatten(1) == 0).all(dim=1).cpu())
        return torch.cat(found)

    def two_answers(self, clean: Tensor) -> tuple[Tensor, Tensor]:
        """The logits of the same pictures, computed twice, to see whether the method is random."""
        x = clean.to(self.device).float() / 255
        with self.opened() as logits, torch.no_grad():
            return logits(x).cpu(), logits(x).cpu()

    def facts(self) -> dict:
        return {}


class Adaptive:
    """The adaptive attack: it knows a whole test-time defence except its random draws, and attacks it by every `Way`.

    draws: rows -> the defence's own seeds, for `EOT.KNOWN_DRAWS`.
    """

    mode = "adaptive"
    survivors_only = True

    def __init__(self, trainer: TestTimeTrainer, eot: Eot, draws: Callable[[Sequence[int]], list[int]]) -> None:
        self.trainer, self.eot, self.device, self.draws = trainer, eot, trainer.device, draws
        self.ways = ways(trainer, eot)

    def parts(self, settings: AttackSettings, quick: bool = False) -> dict[str, Part]:
        """{name of a way: attack by it}. quick: only the ways `views` and the method's own answer, for controls."""
        chosen = self.ways
        if quick:
            quickest = ("views", "output", *self.eot.steps[:1])
            chosen = [way for way in self.ways if way.name.removesuffix(" dlr") in quickest]
        if settings.names == ("square",):
            chosen = [way for way in chosen if not way.known]  # each query of square has seeds of its own
        return {way.name: self._part(way, settings, f"{i} of {len(chosen)}") for i, way in enumerate(chosen, start=1)}

    def _part(self, way: Way, settings: AttackSettings, which: str) -> Part:
        def attacked(batch: Batch) -> Tensor:
            with PixelModel(self.trainer):
                u8, y = batch.clean.to(self.device), batch.label.to(self.device)
                own = self.draws(batch.rows)
                what = f"adaptive attack, way {which} ({way.name}) on {len(batch.rows)} images"
                return attack_way(way, settings, self.eot, u8, y, batch.seeds, own, what)[0].cpu()

        return attacked

    def no_gradient(self, clean: Tensor, label: Tensor, batch: int) -> Tensor:
        """[B]: whether the gradient of the method's own answer (or of the last way) is zero, over one random draw."""
        way = next((w for w in self.ways if w.name in ("output", *self.eot.steps)), self.ways[-1])
        one, found = replace(self.eot, draws=1), []
        size = max(1, batch // self.eot.views)
        with PixelModel(self.trainer):
            for u8, y in zip(clean.split(size), label.split(size), strict=True):
                x = u8.to(self.device).float() / 255
                value = objective(way, y.to(self.device), one, 0, range(len(x)))(x, 0, 0, True)
                found.append((value.gradient.flatten(1) == 0).all(dim=1).cpu())
        return torch.cat(found)

    def two_answers(self, clean: Tensor) -> tuple[Tensor, Tensor]:
        """The logits of the same pictures under two seeds, to see whether the method is random."""
        x = clean.to(self.device).float() / 255
        with PixelModel(self.trainer), torch.no_grad():
            first, second = (self.trainer.pixel_logits(x, seed=seed).detach().cpu() for seed in (0, 1))
        return first, second

    def facts(self) -> dict:
        """The settings that are recorded with the results of this attack."""
        eot = self.eot
        return {
            "draws": eot.draws,
            "views": eot.views,
            "step_grad": eot.step_grad,
            "bpda": eot.bpda,
            "loss": eot.loss,
            "ways": [way.name for way in self.ways],
        }


def attacker_of(trainer: Trainer, eot: Eot, draws: Callable[[Sequence[int]], list[int]]) -> WhiteBox | Adaptive:
    """The strongest adversary for a method: adaptive for a test-time method, else white-box.

    draws: rows of the test list -> the method's seeds for these images.
    """
    if isinstance(trainer, TestTimeTrainer):
        return Adaptive(trainer, eot, draws)
    return WhiteBox(lambda: PixelModel(trainer), trainer.device)


def on(logits: Logits) -> Callable:
    """Wrap a function from pictures to logits as the argument `opened` of `WhiteBox`."""

    @contextmanager
    def opened() -> Iterator[Logits]:
        yield logits

    return opened
