"""Predictions of a test-time method before and after its work: a table of images for paired comparisons, and totals."""

from __future__ import annotations

import csv
import os

import torch
from torch import Tensor

from dassl.utils import atomic_path, mkdir_if_missing

COLUMNS = ("index", "path", "label", "before", "after", "confidence_before", "confidence_after")


class Outputs:
    """Predictions of every image before (plain picture, prompt as it starts) and after the method's work."""

    def __init__(self) -> None:
        self.rows: list[tuple] = []

    def add(self, images: list, before: Tensor, after: Tensor) -> None:
        """Adds `ViewedImage`s with their logits [B, C] before and after."""
        found = [logits.float().softmax(dim=1).max(dim=1) for logits in (before, after)]
        (p0, c0), (p1, c1) = ((f.values.tolist(), f.indices.tolist()) for f in found)
        self.rows += [
            (image.index, image.path, image.label, *row) for image, *row in zip(images, c0, c1, p0, p1, strict=True)
        ]

    def write(self, file: str) -> None:
        """Writes the rows as CSV, one an image, after a row of column names."""
        mkdir_if_missing(os.path.dirname(file) or ".")
        with atomic_path(file) as temporary, open(temporary, "w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows((*row[:5], f"{row[5]:.6f}", f"{row[6]:.6f}") for row in self.rows)

    def summary(self) -> dict[str, float | int]:
        """Accuracies and calibration errors in percent, before and after; how many images changed for the better or
        the worse."""
        label, before, after = (torch.tensor([row[i] for row in self.rows]) for i in (2, 3, 4))
        right_before, right_after = before == label, after == label
        confidence = [torch.tensor([row[i] for row in self.rows], dtype=torch.float64) for i in (5, 6)]
        return {
            "images": len(self.rows),
            "accuracy_before": 100.0 * right_before.double().mean().item(),
            "accuracy_after": 100.0 * right_after.double().mean().item(),
            "ece_before": 100.0 * calibration_error(confidence[0], right_before),
            "ece_after": 100.0 * calibration_error(confidence[1], right_after),
            "mended": int((right_after & ~right_before).sum()),
            "spoiled": int((right_before & ~right_after).sum()),
        }


def calibration_error(confidence: Tensor, right: Tensor, bins: int = 20) -> float:
    """ECE (Guo et al., ICML 2017): |accuracy - mean confidence| of each of `bins` equal bins (a, b] of the confidence
    [N], weighted by how many of the N images are in it."""
    index = ((confidence.double() * bins).ceil().long() - 1).clamp(0, bins - 1)
    gap = torch.zeros(bins, dtype=torch.float64).index_add_(0, index, right.double() - confidence.double())
    return gap.abs().sum().item() / len(confidence)
