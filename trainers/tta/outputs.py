"""Predictions of a test-time method before adaptation (plain picture, initial prompt) and after it."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from dassl.metrics.calibration import ece
from dassl.outputs.kept import KeptOutputs, write_outputs

BINS = 20  # of the calibration errors here, as in the papers of these methods


class BeforeAfter:
    """The outputs of one test before and after, image by image."""

    def __init__(self) -> None:
        self.kept = KeptOutputs()
        self.paths: list[str] = []

    def add(self, images: list, label: Tensor, before: Tensor, after: Tensor) -> None:
        """Adds `ViewedImage`s with their labels [B], and logits [B, C] before and after."""
        self.paths += [image.path for image in images]
        self.kept.add(after, label)
        self.kept.add_other("before", before, label)

    def write(self, file: str, classnames: list[str]) -> None:
        """Writes the outputs file of this project, for use with an evaluator of another project, which keeps none."""
        write_outputs(file, self.kept.arrays(), classnames, self.paths)

    def summary(self) -> dict[str, float | int]:
        """Accuracies and calibration errors in percent, before and after; how many images changed for the better or
        the worse."""
        found = self.kept.arrays()
        right_before, right_after = (found[name] == found["label"] for name in ("before.prediction", "prediction"))
        return {
            "images": len(found["label"]),
            "accuracy_before": 100.0 * float(np.mean(right_before)),
            "accuracy_after": 100.0 * float(np.mean(right_after)),
            "ece_before": 100.0 * ece(found["before.confidence"], right_before, BINS),
            "ece_after": 100.0 * ece(found["confidence"], right_after, BINS),
            "mended": int((right_after & ~right_before).sum()),
            "spoiled": int((right_before & ~right_after).sum()),
        }
