"""A finished run as an object: its numbers, and its model as a function of images."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from attacks import PixelModel
from dassl.data.datasets import build_dataset
from dassl.utils import InputError, read_json, set_random_seed
from runs.config_names import ONLINE, TEST_TIME
from runs.predictor import Predictor, load_predictor
from runs.trained_run import read_run

from .inside import in_checkout
from .pictures import as_list, exact_batch, is_exact, to_pil

SPLITS = {"train": "train_x", "val": "val", "test": "test"}


class Features(NamedTuple):
    """Of N images of a split, in its order. images: their features [N, d] float32 of length 1; labels: [N] int64;
    paths: their files."""

    images: Tensor
    labels: Tensor
    paths: list[str]


class Run:
    """A finished run. folder: with its log.txt, results.json, config.yaml, outputs.npz and checkpoint.

    Raises InputError if the folder holds no finished run. The model is loaded by the first call that needs it.
    """

    def __init__(self, folder: Path) -> None:
        read_run(folder)  # says what is missing if it is no run's
        file = folder / "results.json"
        if not file.is_file():
            raise InputError(
                f"{folder} holds a run that is not finished (no results.json); the same call goes on with it."
            )
        try:
            record = read_json(file)
        except (OSError, ValueError) as error:
            raise InputError(f"{file} is damaged; remove the folder, and run again.") from error
        if not isinstance(record, dict) or "figures" in record or "trainer" not in record:
            raise InputError(f"{file} is not the result of a test; give the folder of a run.")
        self.folder = folder
        self.record: dict[str, Any] = record

    def __repr__(self) -> str:
        tested = f"{self.accuracy:.2f} %" if self.record.get("results") else "not tested"
        return f"<Run {self.method} on {self.dataset}, seed {self.seed}: {tested}>"

    @property
    def method(self) -> str:
        return str(self.record["trainer"])

    @property
    def dataset(self) -> str:
        """The registered name, such as "Digits"."""
        return str(self.record["dataset"])

    @property
    def seed(self) -> int:
        return int(self.record["seed"])

    @property
    def accuracy(self) -> float:
        """Of the test, in percent. Raises InputError if the run tested nothing."""
        if "accuracy" not in (self.record.get("results") or {}):
            raise InputError(f"{self.folder} tested nothing (TEST.NO_TEST), so it has no accuracy.")
        return float(self.record["results"]["accuracy"])

    @property
    def scores(self) -> dict[str, float]:
        """Further figures of the test (calibration, likelihood, ...: docs/outputs.md); {} if no outputs were kept."""
        return dict(self.record.get("scores") or {})

    @property
    def classnames(self) -> list[str]:
        """C names: the columns of `logits`."""
        return list(self.record["classnames"])

    @functools.cached_property
    def predictor(self) -> Predictor:
        """The loaded model: `predictor("cat.jpg")` gives the most likely classes (docs/predict.md)."""
        with in_checkout():
            found = load_predictor(self.folder)
        found.advice = ""  # predict.py's, on its option
        return found

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) of the images that the model takes, in pixels."""
        height, width = self.predictor.cfg.INPUT.SIZE
        return height, width

    def logits(self, images: Any) -> Tensor:
        """[N, C] float32 on the CPU, without gradient. images: files, PIL images, or arrays of numpy or torch.

        uint8 (0 to 255) of any size, [B, 3, H, W] or [B, H, W, 3], is resized, cropped and normalised as in the run's
        test, so that test images have the test's logits. Floats (0 to 1) [B, 3, *image_size] are normalised only.
        Raises InputError for another shape, dtype or range, and for a file that is no image.
        """
        found = as_list(images)
        with in_checkout():
            if is_exact(found):
                return self._exact(exact_batch(found, self.image_size))
            rows = [logits for _, logits in self.predictor.logits([to_pil(image) for image in found])]
        return torch.cat(rows) if rows else torch.empty(0, len(self.classnames))

    def pixel_model(self) -> PixelModel:
        """For gradients: `with run.pixel_model() as f:` gives f(x) = logits [B, C] of float32 x [B, 3, *image_size]
        from 0 to 1 on the model's device, differentiable in x. Raises InputError for a method that adapts to each
        image."""
        if self.method in (*TEST_TIME, *ONLINE):
            raise InputError(
                f"{self.method} adapts to each image, so it is no function of floats; give uint8 or files."
            )
        return PixelModel(self.predictor.trainer)

    def _exact(self, batch: Tensor) -> Tensor:
        size = self.predictor.cfg.DATALOADER.TEST.BATCH_SIZE
        trainer: Any = self.predictor.trainer
        with self.pixel_model() as answer, torch.no_grad(), trainer.test_draws():
            return torch.cat([answer(part.to(trainer.device)).cpu() for part in batch.split(size)])

    def features(self, split: str = "test") -> Features:
        """Features of the images of a split from the method's own image tower, with its prompts or weights if it has
        some there. split: "train" (the few shots of the run, transformed as in a test), "val" or "test".

        Raises InputError for another or an empty split, and if the dataset is not where it was.
        """
        if split not in SPLITS:
            raise InputError(f"split is {split!r}, but must be one of {', '.join(SPLITS)}.")
        with in_checkout():
            predictor = self.predictor
            cfg = predictor.cfg.clone()
            cfg.defrost()
            cfg.VERBOSE = False
            if cfg.SEED >= 0:
                set_random_seed(cfg.SEED)  # the run's own shots are drawn again
            items = getattr(build_dataset(cfg), SPLITS[split]) or []
            if not items:
                raise InputError(f"{self.dataset} has no images in the split {split!r}.")
            paths = [item.impath for item in items]
            images = torch.cat([features for _, features in predictor.features(paths)])
        return Features(images, torch.tensor([item.label for item in items]), paths)
