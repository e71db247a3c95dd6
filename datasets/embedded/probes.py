"""Small measurements on one embedded set with cached features: zero-shot, CoOp, linear probe, PGD.

They judge the suite: is there room, do prompts help, do noise and attacks hurt. Results of methods come from train.py.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from clipkit import ContextPrompts, ImageEncoder, TextEncoder, normalize
from dassl.utils import read_image
from datasets.templates import custom_template

from .clip_trainer import MEAN, STD
from .make import ensure, split_name
from .suite import SPECS
from .vocab import CLASSES

SHOTS = 16


@dataclass
class Part:
    """Images of one split of a set, or of one half of its classes, with their frozen features."""

    images: Tensor  # [N, 3, 48, 48] in 0..1
    features: Tensor  # [N, d] normalised
    labels: Tensor  # [N]

    def half(self, which: str, classes: int) -> Part:
        """The images of the "base" or "new" half of the classes, relabelled from 0; "all": everything."""
        if which == "all":
            return self
        middle = (classes + 1) // 2
        rows = self.labels < middle if which == "base" else self.labels >= middle
        return Part(self.images[rows], self.features[rows], self.labels[rows] - (0 if which == "base" else middle))

    def shots(self, k: int, seed: int) -> Part:
        """k images of every class, drawn without replacement."""
        g = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(self.labels), generator=g)
        rows = torch.cat([order[self.labels[order] == c][:k] for c in self.labels.unique()])
        return Part(self.images[rows], self.features[rows], self.labels[rows])


class Bench:
    """A set with a CLIP: loads the images of the splits and encodes them once."""

    def __init__(self, clip_model: torch.nn.Module, stem: str, root: Path) -> None:
        self.clip, self.spec = clip_model, SPECS[stem]
        self.text, self.image = TextEncoder(clip_model), ImageEncoder(clip_model)
        self.scale = clip_model.logit_scale.exp().item()
        folder = root / stem
        ensure(stem, folder)
        self._folder = folder / "images"
        self._records = json.loads((folder / split_name(self.spec)).read_text(encoding="utf-8"))
        self.names = list(CLASSES[self.spec.classes])
        self._parts: dict[str, Part] = {}

    def part(self, split: str) -> Part:
        """The split "train", "val" or "test"; "calibration": train and val together."""
        if split not in self._parts:
            wanted = ("train", "val") if split == "calibration" else (split,)
            records = [r for name in wanted for r in self._records[name]]
            pixels = [np.asarray(read_image(self._folder / path)) for path, _, _ in records]
            images = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float() / 255
            with torch.no_grad():
                features = torch.cat([self.encode(x) for x in images.split(256)])
            self._parts[split] = Part(images, features, torch.tensor([label for _, label, _ in records]))
        return self._parts[split]

    def encode(self, images: Tensor) -> Tensor:
        """Normalised features [B, d] of pixels [B, 3, 48, 48] in 0..1."""
        return normalize(self.image((images - MEAN) / STD))

    def half_names(self, which: str) -> list[str]:
        middle = (len(self.names) + 1) // 2
        return {"all": self.names, "base": self.names[:middle], "new": self.names[middle:]}[which]

    def select(self, split: str, which: str) -> Part:
        return self.part(split).half(which, len(self.names))

    def hand_written(self, which: str) -> Tensor:
        """Text features [C, d] of the set's built-in template."""
        template = custom_template(self.spec.name)
        return self.text.encode_texts([template.format(name) for name in self.half_names(which)])

    def zero_shot(self, split: str, which: str) -> float:
        return accuracy(self.select(split, which), self.hand_written(which))

    def coop(
        self, which: str, seed: int, n_ctx: int = 16, words: str | None = None, noise: float = 0.0, epochs: int = 50
    ) -> Tensor:
        """The unified context [n_ctx, width] that CoOp learns from 16 shots: SGD 0.002, batch 32, warm-up, cosine.

        words: initial words (else normal, std 0.02); noise: share of each class's shots with a wrong label.
        """
        torch.manual_seed(seed)
        data = self.select("train", which).shots(SHOTS, seed)
        labels = flip_labels(data.labels, noise, seed)
        prompts = ContextPrompts(self.clip, self.half_names(which), n_ctx, words)
        start = prompts.init_context() if words else 0.02 * torch.randn(n_ctx, self.text.width)
        context = torch.nn.Parameter(start.float())
        optimizer = torch.optim.SGD([context], lr=0.002, momentum=0.9, weight_decay=5e-4)
        for epoch in range(epochs):
            lr = 1e-5 if epoch == 0 else 0.001 * (1 + np.cos(np.pi * epoch / epochs))
            optimizer.param_groups[0]["lr"] = lr
            for rows in torch.randperm(len(labels)).split(32):
                text = normalize(self.text(prompts(context), prompts.eot))
                loss = F.cross_entropy(self.scale * data.features[rows] @ text.t(), labels[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        return context.detach()

    def test_context(self, context: Tensor, which: str, split: str = "test") -> float:
        prompts = ContextPrompts(self.clip, self.half_names(which), len(context))
        with torch.no_grad():
            text = normalize(self.text(prompts(context), prompts.eot))
        return accuracy(self.select(split, which), text)

    def linear_probe(self, which: str, seed: int) -> float:
        """Logistic regression on the features of the same shots (C = 10, not tuned)."""
        from sklearn.linear_model import LogisticRegression

        data, test = self.select("train", which).shots(SHOTS, seed), self.select("test", which)
        model = LogisticRegression(C=10.0, max_iter=2000).fit(data.features.numpy(), data.labels.numpy())
        return 100 * float((model.predict(test.features.numpy()) == test.labels.numpy()).mean())

    def attack(self, eps: float, count: int = 200, steps: int = 10, seed: int = 0) -> tuple[float, float]:
        """(clean, attacked) accuracy of the hand-written prompt on `count` test images, L-inf PGD, step eps/4."""
        torch.manual_seed(seed)
        test = self.part("test")
        rows = torch.randperm(len(test.labels))[:count]
        x, y, text = test.images[rows], test.labels[rows], self.hand_written("all")
        clean = accuracy(Part(x, test.features[rows], y), text)
        delta = torch.empty_like(x).uniform_(-eps, eps)
        for _ in range(steps):
            delta.requires_grad_(True)
            loss = F.cross_entropy(self.scale * self.encode((x + delta).clamp(0, 1)) @ text.t(), y)
            (grad,) = torch.autograd.grad(loss, delta)
            delta = (delta.detach() + eps / 4 * grad.sign()).clamp(-eps, eps)
        with torch.no_grad():
            features = self.encode((x + delta).clamp(0, 1))
        return clean, accuracy(Part(x, features, y), text)


def accuracy(part: Part, text: Tensor) -> float:
    """Percent of images whose nearest text feature [C, d] is their label's."""
    return 100 * (part.features @ text.t()).argmax(1).eq(part.labels).float().mean().item()


def flip_labels(labels: Tensor, share: float, seed: int) -> Tensor:
    """Labels with exactly round(share * n) of each class's n replaced by another class, uniformly."""
    g = torch.Generator().manual_seed(seed + 1)
    out, classes = labels.clone(), int(labels.max()) + 1
    for c in range(classes):
        rows = (labels == c).nonzero()[:, 0]
        rows = rows[torch.randperm(len(rows), generator=g)][: round(share * len(rows))]
        out[rows] = (c + torch.randint(1, classes, (len(rows),), generator=g)) % classes
    return out
