"""Measures the images per second of the training loader with and without decoded images in memory.

python -m speed.loading --root DATA     # Caltech101, 16 shots of every class; without --root: noise JPEGs

The loader decodes, crops, flips, normalises and batches; no model is run. Both loaders give the same batches.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tabulate import tabulate
from torch.utils.data import DataLoader

from dassl.data import DataManager
from dassl.data.seeded_loader import SeededLoader
from dassl.utils.ends import one_sentence
from dassl.utils.screen import Screen
from runs.options import build_parser
from runs.setup import setup_cfg


def noise_folder(root: Path, classes: int = 20, each: int = 20) -> None:
    """Writes class folders of 500 x 375 noise JPEGs, for machines without Caltech101."""
    noise = np.random.default_rng(0)
    for c in range(classes):
        folder = root / f"class {c}"
        folder.mkdir(parents=True)
        for i in range(each):
            pixels = noise.integers(0, 255, (47, 63, 3), dtype=np.uint8)
            Image.fromarray(pixels).resize((500, 375)).save(folder / f"{i}.jpg")


def loader(root: str, dataset: str, megabytes: int, workers: int, shots: int = 16) -> DataLoader:
    args = build_parser().parse_args(
        ["--root", root, "--seed", "1", "--dataset-config-file", f"configs/datasets/{dataset}.yaml",
         "--config-file", "configs/trainers/CoOp/vit_b16.yaml", "--trainer", "CoOp", "VERBOSE", "False"]
        + ["DATASET.NUM_SHOTS", str(shots), "DATALOADER.NUM_WORKERS", str(workers)]
        + ["DATALOADER.DECODED_CACHE_MB", str(megabytes)]
        + (["DATASET.FOLDER.PATH", "."] if dataset == "folder" else [])
    )  # fmt: skip
    return DataManager(setup_cfg(args)).train_loader_x


def epoch(batches: SeededLoader, number: int) -> float:
    """Images a second over one epoch."""
    batches.set_epoch(number)
    start, images = time.perf_counter(), 0
    for batch in batches:
        images += len(batch["label"])
    return images / (time.perf_counter() - start)


@one_sentence()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=Screen)
    parser.add_argument("--root", default="", help="folder with caltech-101")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2])
    parser.add_argument("--epochs", type=int, default=3, help="timed epochs, after one to warm up")
    args = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        root, dataset = args.root or folder, "caltech101" if args.root else "folder"
        if not args.root:
            noise_folder(Path(folder))
        for workers in args.workers:
            kept, plain = (loader(root, dataset, megabytes, workers) for megabytes in (1024, 0))
            first = (next(iter(kept))["img"], next(iter(plain))["img"])
            speeds = [(epoch(kept, e), epoch(plain, e)) for e in range(args.epochs + 1)][1:]
            a, b = (statistics.median(column) for column in zip(*speeds, strict=True))
            ratio = statistics.median(x / y for x, y in speeds)
            rows.append([workers, a, b, ratio, "yes" if torch.equal(*first) else "NO"])
            kept.stop_workers()
            plain.stop_workers()
    print(f"{dataset}, 16 shots, 224 pixels")
    headers = ["workers", "in memory, images/s", "decoded each time, images/s", "times faster", "same batches"]
    print(tabulate(rows, headers, floatfmt=(".0f", ".0f", ".0f", ".2f")))


if __name__ == "__main__":
    sys.exit(main())
