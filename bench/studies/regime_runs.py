"""Runs of train.py's own methods in one process, on stored image features and without augmentation.

The trainers, configs, label noise and few-shot draws are those of `train.py`; one thing differs: a training image is
its feature under the test transform, so the image tower runs once for all runs.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from dassl.engine import TRAINER_REGISTRY
from runs.options import parse
from runs.setup import setup_cfg
from runs.targets import ROOT as CHECKOUT
from trainers.shared.coinciding import mean_distance

SHOTS = 16


class StoredLoader:
    """The batches of a training loader, in its order, with `img` [B, d] from stored features of all N items [N, d]."""

    def __init__(self, loader: DataLoader, features: Tensor, labels: Tensor) -> None:
        self.loader, self.features, self.labels = loader, features, labels
        self.dataset = loader.dataset

    def __len__(self) -> int:
        return len(self.loader)

    def set_epoch(self, epoch: int) -> None:
        self.loader.set_epoch(epoch)  # type: ignore[attr-defined]  # a SeededLoader

    def __iter__(self) -> Iterator[dict]:
        for drawn in self.loader.batch_sampler:
            rows = torch.tensor([index.position for index in drawn])
            yield {"img": self.features[rows], "label": self.labels[rows], "index": rows}


class OnStoredFeatures:
    """Goes before a method of a frozen image tower: `class X(OnStoredFeatures, CoOp)`."""

    train_loader_x: Any
    training_list: Any
    model: Any

    def encode_image(self, image: Tensor) -> Tensor:
        return image if image.ndim == 2 else super().encode_image(image)  # type: ignore[misc]

    def before_train(self) -> None:
        super().before_train()  # type: ignore[misc]
        listed = self.training_list
        self.train_loader_x = StoredLoader(self.train_loader_x, listed.batches.features, listed.label)
        self.first = self.model.ctx.detach().clone()
        self.steps: list[float] = []

    def forward_backward(self, batch: dict) -> dict:
        before = self.model.ctx.detach().clone()
        found = super().forward_backward(batch)  # type: ignore[misc]
        self.steps.append(((self.model.ctx.detach() - before).norm() / before.norm()).item())
        return found


@dataclass
class Trained:
    """A trained context. accuracy: percent, on the classes that it was trained for. distance: mean cosine distance of
    their text features. steps: the length of each optimizer step by the context's norm; moved: from first to last
    context by the norm of the first. floor: percent, chance plus three standard deviations of guessing on the test
    images. folder, epoch: of its checkpoint."""

    accuracy: float
    distance: float
    steps: list[float]
    moved: float
    floor: float
    folder: str
    epoch: int


@dataclass
class Lab:
    """One backbone on the sets under `root`. model: a .safetensors file, or "". epochs 0: the config's."""

    root: Path
    scratch: Path
    model: str = ""
    epochs: int = 0
    _number: int = field(default=0, init=False)

    def trainer(self, method: str, dataset: str, seed: int, half: str = "all", pairs: Sequence[str] = ()) -> Any:
        """A built trainer of the registered method under its config `embedded`, on stored features."""
        files = (f"datasets/{dataset}.yaml", f"trainers/{method}/embedded.yaml")
        data, config = (str(CHECKOUT / "configs" / file) for file in files)
        argv = ["--root", str(self.root), "--seed", str(seed), "--trainer", method, "--dataset-config-file", data]
        argv += ["--config-file", config, "--output-dir", tempfile.mkdtemp(dir=self.scratch)]
        argv += ["DATASET.NUM_SHOTS", str(SHOTS), "DATASET.SUBSAMPLE_CLASSES", half]
        argv += ["TRAIN.TENSORBOARD", "False", "TRAIN.WATCH_EVERY", "0", "TRAIN.FEATURE_BANK", "False", *pairs]
        if self.model:
            argv += ["MODEL.BACKBONE.NAME", "", "MODEL.BACKBONE.PATH", self.model, "MODEL.BACKBONE.SPEC", "openai"]
        if self.epochs:
            argv += ["OPTIM.MAX_EPOCH", str(self.epochs)]
        kind = TRAINER_REGISTRY.get(method)
        return type(method, (OnStoredFeatures, kind), {"__module__": kind.__module__})(setup_cfg(parse(argv)))

    def train(self, method: str, dataset: str, seed: int, half: str = "all", pairs: Sequence[str] = ()) -> Trained:
        """Trains, tests after the last epoch, and saves the checkpoint."""
        trainer = self.trainer(method, dataset, seed, half, pairs)
        trainer.train()
        moved = ((trainer.model.ctx.detach() - trainer.first).norm() / trainer.first.norm()).item()
        folder, epoch = trainer.output_dir, trainer.max_epoch
        return Trained(
            accuracy_of(trainer), distance_of(trainer), trainer.steps, moved, floor_of(trainer), folder, epoch
        )

    def transfer(self, trained: Trained, method: str, dataset: str, seed: int, half: str) -> tuple[float, float]:
        """(accuracy, distance) of a trained context on other classes, or on the classes of another set."""
        trainer = self.trainer(method, dataset, seed, half)
        trainer.load_model(trained.folder, trained.epoch)
        trainer.test()
        return accuracy_of(trainer), distance_of(trainer)

    def zero_shot(self, dataset: str, half: str) -> tuple[float, float]:
        """(accuracy, distance) of the set's hand-written prompt."""
        trainer = self.trainer("ZeroshotCLIP", dataset, 1, half)
        trainer.test()
        return accuracy_of(trainer), distance_of(trainer)


def accuracy_of(trainer: Any) -> float:
    """Percent, of the last test."""
    return trainer.evaluator.results["accuracy"]


def distance_of(trainer: Any) -> float:
    """Mean cosine distance of the class features of the last test."""
    with torch.no_grad():
        return mean_distance(trainer.text_features())


def floor_of(trainer: Any) -> float:
    """Percent: chance, plus three standard deviations of the accuracy of guessing on the images of the last test."""
    chance = 1 / trainer.num_classes
    return 100 * (chance + 3 * math.sqrt(chance * (1 - chance) / trainer.evaluator.results["total"]))
