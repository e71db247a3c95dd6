"""Step and test pass beside the plain implementations, their memory; the loader beside the image tower."""

from __future__ import annotations

import tempfile
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import torch

from clipkit import ImageEncoder, load_clip
from trainers.shared.precision import autocast

from .gpu_sizes import Row, Sizes
from .loading import epoch, noise_folder
from .loading import loader as training_loader
from .methods import Both
from .peak_memory import peak_of
from .side_by_side import noise_images, seconds, side_by_side, workspace

MB = 2**20


def times(sizes: Sizes) -> Iterator[Row]:
    with workspace() as root:
        images = noise_images(f"{root}/images", 2)
        for classes in sizes.classes:
            for name in sizes.plain:
                row: Row = {"method": name, "classes": classes}
                try:
                    yield row | timed(name, classes, images, sizes)
                except torch.OutOfMemoryError:
                    yield row | {"said": "out of memory"}
                    torch.cuda.empty_cache()


def timed(name: str, classes: int, images: str, sizes: Sizes) -> Row:
    """Medians in seconds, memory above the built model in MB, and how far the losses of the two sides are apart."""
    args = Namespace(
        device=sizes.device, size=sizes.size, batch=sizes.batch, classes=classes, backbone=sizes.backbone
    )  # fmt: skip
    both = Both(name, images, args)
    apart = both.difference()
    batches = [both.noise(sizes.test_batch) for _ in range(2)]
    step = side_by_side(both.step, both.plain_step, sizes.repeats)
    memory = [peak_of(task, both.device) / MB for task in (both.step, both.plain_step)]
    test = side_by_side(
        lambda: both.test_pass(batches), lambda: both.plain_test_pass(batches), max(1, sizes.repeats // 2)
    )
    return {
        "batch": both.batch, "step, s": step[0], "plain, s": step[1], "times faster": step[2],
        "step, MB": memory[0], "plain, MB": memory[1], "test, s": test[0], "plain test, s": test[1],
        "test, times faster": test[2], "losses apart": apart,
    }  # fmt: skip


def loader(sizes: Sizes) -> Iterator[Row]:
    """Images a second: of the image tower alone in each precision, and of the loader with each number of workers."""
    device = torch.device(sizes.device)
    for precision in sizes.precisions:
        clip = load_clip(sizes.backbone, precision=precision, device=device)
        encoder = ImageEncoder(clip)
        for batch in sizes.tower_batches:
            image = torch.randn(batch, 3, sizes.size, sizes.size, device=device).to(encoder.dtype)
            yield {
                "what": f"image tower, {precision}, batches of {batch}",
                "images/s": tower(encoder, image, precision),
            }
    with tempfile.TemporaryDirectory() as folder:
        noise_folder(Path(folder), *((3, 4) if sizes.small else (20, 20)))
        for workers in sizes.workers:
            for megabytes, what in ((1024, "decoded images in memory"), (0, "decoded each time")):
                batches = training_loader(folder, "folder", megabytes, workers, sizes.shots)
                speed = [epoch(batches, number) for number in (0, 1)][1]
                batches.stop_workers()
                yield {"what": f"loader, {workers} workers, {what}", "images/s": speed}


@torch.no_grad()
def tower(encoder: ImageEncoder, image: torch.Tensor, precision: str) -> float:
    """Images a second of a pass, the median of three after one to warm up."""
    with autocast(precision, image.device):
        found = sorted(seconds(lambda: encoder(image)) for _ in range(4))
    return len(image) / found[1]
