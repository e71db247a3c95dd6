"""Attacks images part by part, and classifies the resulting 8-bit pictures with the deployed method."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from attacks import AttackSettings
from dassl.metrics.paired import wilson

from .attackers import Adaptive, Batch, Stored, WhiteBox

CHUNK = 512  # attacked pictures held in memory at once

Deploy = Callable[[Tensor, Sequence[int]], Tensor]  # (uint8 pictures [B, 3, H, W], their rows) -> logits [B, C]


@dataclass
class Answers:
    """A method's predictions for N images: class and its probability, [N] each."""

    pred: Tensor
    confidence: Tensor

    @classmethod
    def of(cls, logits: Tensor) -> Answers:
        """The predictions of logits [N, C]."""
        confidence, pred = logits.float().softmax(dim=1).max(dim=1)
        return cls(pred, confidence)

    def right(self, label: Tensor) -> Tensor:
        """[N]: whether each prediction is the label [N]."""
        return self.pred == label


@dataclass(frozen=True)
class Images:
    """N images: clean pictures (each uint8 [3, H, W]), labels [N], and the attack's seed for each."""

    clean: Sequence[Tensor]
    label: Tensor
    seeds: Sequence[int]

    def pictures(self, rows: Sequence[int]) -> Tensor:
        return torch.stack([self.clean[row] for row in rows])

    def some(self, rows: Sequence[int]) -> tuple[Tensor, Tensor, list[int]]:
        """Clean pictures, labels and seeds of these rows."""
        return self.pictures(rows), self.label[list(rows)], [self.seeds[row] for row in rows]


@dataclass
class Attacked:
    """The result of an attack on M images, `rows` of the test list.

    answers: the deployed method's, for the first attacked picture that is misclassified, or else the last one.
    survived [M]: correct on the clean picture and after every part. broken_by: the name of the part that caused the
    misclassification, "clean" if the clean picture is misclassified, "" if the image survived. parts: {name: number of
    images that it attacked}. max_levels: the largest change of a pixel, in grey levels.
    """

    rows: list[int]
    label: Tensor
    answers: Answers
    survived: Tensor
    broken_by: list[str]
    parts: dict[str, int] = field(default_factory=dict)
    max_levels: int = 0

    @property
    def accuracy(self) -> float:
        """Accuracy on the attacked pictures in percent."""
        return percent(self.answers.right(self.label))

    def part(self, rows: Sequence[int]) -> Tensor:
        """[K]: whether the attacked picture of each of these rows is classified correctly."""
        place = {row: i for i, row in enumerate(self.rows)}
        return self.answers.right(self.label)[[place[row] for row in rows]]


def percent(flags: Tensor) -> float:
    """The share of True entries in percent; 0 for none."""
    return 100.0 * flags.double().mean().item() if len(flags) else 0.0


def share(flags: Tensor) -> dict:
    """Accuracy in percent with its 95 % interval."""
    right, count = int(flags.sum()), len(flags)
    low, high = wilson(right, count)
    return {"accuracy": percent(flags), "right": right, "images": count, "interval": [round(low, 3), round(high, 3)]}


def run_attack(
    attacker: Stored | WhiteBox | Adaptive,
    deployed: Deploy,
    settings: AttackSettings,
    images: Images,
    clean: Answers,
    rows: Sequence[int],
    quick: bool = False,
    label: Tensor | None = None,
) -> Attacked:
    """Attack the images `rows`. clean: the deployed method's answers for all clean pictures.

    The first part attacks every image, unless the attacker has `survivors_only`; the others attack the images that are
    still classified correctly. label: labels [N] given to the attack, by default the true ones (S12 shuffles them).
    """
    label = images.label if label is None else label
    found = [
        _chunk(attacker.parts(settings, quick), attacker.survivors_only, deployed, images, clean, chunk, label)
        for chunk in (list(rows[i : i + CHUNK]) for i in range(0, len(rows), CHUNK))
    ]
    return Attacked(
        list(rows),
        images.label[list(rows)],
        Answers(torch.cat([f.answers.pred for f in found]), torch.cat([f.answers.confidence for f in found])),
        torch.cat([f.survived for f in found]),
        [name for f in found for name in f.broken_by],
        {name: sum(f.parts[name] for f in found) for name in found[0].parts},
        max(f.max_levels for f in found),
    )


def _chunk(parts, survivors_only: bool, deployed, images: Images, clean: Answers, rows: list[int], label) -> Attacked:
    pictures, believed, seeds = images.pictures(rows), label[rows], [images.seeds[row] for row in rows]
    truth, pred, confidence = images.label[rows], clean.pred[rows].clone(), clean.confidence[rows].clone()
    survived = pred == truth
    found = Attacked(
        rows, truth, Answers(pred, confidence), survived, ["" if ok else "clean" for ok in survived.tolist()]
    )
    first = not survivors_only
    for name, attacked in parts.items():
        chosen = torch.arange(len(rows)) if first else survived.nonzero()[:, 0]
        first = False
        found.parts[name] = len(chosen)
        if len(chosen) == 0:
            continue
        batch = Batch([rows[i] for i in chosen], pictures[chosen], believed[chosen], [seeds[i] for i in chosen])
        adv = attacked(batch)
        found.max_levels = max(found.max_levels, int((adv.int() - pictures[chosen].int()).abs().max()))
        said = Answers.of(deployed(adv, batch.rows))
        pred[chosen], confidence[chosen] = said.pred, said.confidence
        for i in chosen[survived[chosen] & (said.pred != truth[chosen])].tolist():
            found.broken_by[i] = name
            survived[i] = False
    return found
