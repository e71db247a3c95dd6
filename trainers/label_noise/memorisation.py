"""Memorisation curves: accuracies on test images and on training items with wrong and right labels, epoch by epoch.

Diagnostics only. The result of a run is the last epoch's accuracy; choosing an epoch by these curves would be choosing
on the test set. True labels are read here and nowhere else in training, and have no influence on the weights.
"""

from __future__ import annotations

import json
import logging
import os
import statistics
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dassl.utils import atomic_path, mkdir_if_missing

if TYPE_CHECKING:
    from ..shared.method import Method

logger = logging.getLogger(__name__)

FILE = "curves.json"
ON_TRAINING = ("noisy_flipped", "noisy_kept", "true_flipped", "true_kept")
KEYS = ("epochs", "test", "train_loss", *ON_TRAINING)


def watch_every(trainer: Method) -> int:
    """TRAIN.WATCH_EVERY in epochs, 0: never. Negative: what the method declares in `config_defaults`, else 1."""
    every = trainer.cfg.TRAIN.get("WATCH_EVERY", -1)
    return every if every >= 0 else getattr(trainer, "config_defaults", {}).get("TRAIN.WATCH_EVERY", 1)


def start_curves(trainer: Method) -> MemorisationCurves | None:
    """The curves of a run on wrong labels, from the epoch that it starts at; None for clean labels or WATCH_EVERY 0."""
    noisy = getattr(trainer.dm.dataset, "noise", None) is not None
    if not noisy or not watch_every(trainer) or trainer.start_epoch >= trainer.max_epoch:
        return None
    return MemorisationCurves(trainer)


class MemorisationCurves:
    """Writes `<output folder>/curves.json` after each watched epoch, and the last: lists of equal length.

    epochs: from 1. test: top-1 on the test set. train_loss: mean over the epoch's steps. noisy_flipped, noisy_kept,
    true_flipped, true_kept: accuracy on training items whose label is wrong (flipped) or right (kept), against the
    observed label (noisy) or the true one, under the test transform. Percent; null where there is no such item.
    """

    def __init__(self, trainer: Method) -> None:
        self.trainer, self.every = trainer, watch_every(trainer)
        self.losses: list[float] = []  # of the current epoch's steps
        self.curves: dict[str, list] = {key: [] for key in KEYS}
        self._test = None
        if trainer.start_epoch:
            self._take_up(Path(trainer.cfg.RESUME or trainer.output_dir, FILE))

    def _take_up(self, file: Path) -> None:
        """Reads the curves of a run that is resumed, up to the epoch of its checkpoint."""
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
            rows = list(zip(*(found[key] for key in KEYS), strict=True))
            rows = [row for row in rows if row[0] <= self.trainer.start_epoch]
        except (OSError, ValueError, KeyError, TypeError) as error:
            logger.warning("%s cannot be read (%s); the curves begin anew", file, type(error).__name__)
            return
        self.curves = {key: [row[i] for row in rows] for i, key in enumerate(KEYS)}

    def after_epoch(self) -> None:
        """Called after each epoch, before it is saved."""
        trainer, losses = self.trainer, self.losses
        self.losses = []
        done = trainer.epoch + 1
        if done % self.every and done != trainer.max_epoch:
            return
        row = {"epochs": done, "train_loss": statistics.fmean(losses) if losses else None, **self._accuracies()}
        for key in KEYS:
            self.curves[key].append(row[key])
            if key != "epochs" and row[key] is not None:
                trainer.write_scalar(f"watch/{key}", row[key], trainer.epoch)
        mkdir_if_missing(trainer.output_dir or ".")
        with atomic_path(os.path.join(trainer.output_dir, FILE)) as temporary:
            Path(temporary).write_text(json.dumps(self.curves), encoding="utf-8")
        shown = [_percent(row[key]) for key in ("test", "noisy_flipped", "true_flipped", "true_kept")]
        text = (
            "epoch [%d/%d] watched: test %s; items with wrong labels: observed label predicted %s, true label %s; "
            "items with right labels %s"
        )
        logger.info(text, done, trainer.max_epoch, *shown)

    @torch.no_grad()
    def _accuracies(self) -> dict[str, float | None]:
        """The accuracies of both passes, in one test mode, so that text features are computed once; then the former
        mode is restored."""
        trainer = self.trainer
        mode = "train" if trainer.model.training else "eval"
        trainer.set_model_mode("eval")
        try:
            found = self._on_test() | self._on_training()
        finally:
            trainer.set_model_mode(mode)
        return found

    def _on_test(self) -> dict[str, float | None]:
        trainer = self.trainer
        if self._test is None:
            self._test = trainer.test_batches("test")
        predicted, label = self._predicted(self._test)
        return {"test": _share(predicted == label)}

    def _on_training(self) -> dict[str, float | None]:
        listed = self.trainer.training_list
        known = listed.gt >= 0
        if not known.any():  # real noise: true labels are unknown
            return dict.fromkeys(ON_TRAINING)
        predicted, _ = self._predicted(listed.batches)
        parts = {"flipped": known & (listed.gt != listed.label), "kept": known & (listed.gt == listed.label)}
        return {
            f"{name}_{part}": _share((predicted == labels)[mask])
            for name, labels in (("noisy", listed.label), ("true", listed.gt))
            for part, mask in parts.items()
        }

    def _predicted(self, batches) -> tuple[Tensor, Tensor]:
        """[N] most likely classes and [N] labels. Random draws are a test's, and do not change training's."""
        trainer, predicted, labels = self.trainer, [], []
        with trainer.test_draws():
            for batch in batches:
                image, label = trainer.parse_batch_test(batch)
                predicted.append(trainer.model_inference(image).argmax(1))
                labels.append(label)
        return torch.cat(predicted), torch.cat(labels)


def _share(hits: Tensor) -> float | None:
    return 100.0 * hits.sum().item() / len(hits) if len(hits) else None


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} %"
