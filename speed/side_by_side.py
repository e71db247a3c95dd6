"""Shared by all measurements: noise images, a full-size trainer on them, and timing of two tasks in turn."""

from __future__ import annotations

import contextlib
import io
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from yacs.config import CfgNode

from dassl.data.datasets import DATASET_REGISTRY, DatasetBase, Datum
from dassl.engine import TRAINER_REGISTRY, build_trainer
from runs.config_names import CONFIG_FOLDER
from runs.options import build_parser
from runs.setup import setup_cfg
from trainers.base import PromptTrainer

ADJECTIVES = ("red", "old", "tall", "small", "wooden", "striped", "shiny", "broken", "wild", "frozen")
MORE = ("green", "young", "short", "large", "metal", "dotted", "dull", "whole", "tame", "warm")  # after 500 classes
NOUNS = (
    "boat", "house", "tiger", "guitar", "bridge", "lamp", "tower", "cup", "tree", "horse",
    "apple", "ball", "car", "door", "eagle", "flag", "glove", "hat", "inkwell", "jug",
    "kite", "leaf", "moon", "nest", "onion", "piano", "queen", "river", "spoon", "train",
    "umbrella", "violin", "wheel", "yacht", "zebra", "arrow", "bell", "clock", "dress", "egg",
    "fork", "goose", "harp", "ice cream", "jar", "key", "lion", "mask", "nail", "owl",
)  # fmt: skip


@DATASET_REGISTRY.register()
class BenchmarkImages(DatasetBase):
    """A dataset of the noise images under DATASET.ROOT, with DATASET.NUM_LABELED classes."""

    def __init__(self, cfg: CfgNode) -> None:
        names = [f"{a} {n}" for some in (ADJECTIVES, MORE) for n in NOUNS for a in some][: cfg.DATASET.NUM_LABELED]
        files = sorted(Path(cfg.DATASET.ROOT).glob("*.jpg"))
        items = [Datum(str(files[i % len(files)]), i, 0, name) for i, name in enumerate(names)]
        test = [Datum(str(f), i % len(names), 0, names[i % len(names)]) for i, f in enumerate(files)]
        super().__init__(train_x=items, test=test)


@contextlib.contextmanager
def workspace() -> Iterator[str]:
    """A temporary folder, which is also the cache, so that no features of an earlier run are read."""
    before = os.environ.get("ROBUSTPROMPT_CACHE")
    with tempfile.TemporaryDirectory() as root:
        os.environ["ROBUSTPROMPT_CACHE"] = f"{root}/cache"
        try:
            yield root
        finally:
            os.environ.pop("ROBUSTPROMPT_CACHE")
            if before is not None:
                os.environ["ROBUSTPROMPT_CACHE"] = before


def noise_images(folder: str, count: int) -> str:
    """Write `count` noise JPEGs of 400 x 300 pixels and return the folder."""
    Path(folder).mkdir()
    noise = np.random.default_rng(0)
    for i in range(count):
        Image.fromarray(noise.integers(0, 255, (300, 400, 3), dtype=np.uint8)).save(f"{folder}/{i:03d}.jpg")
    return folder


def full_size_trainer(
    name: str, config: str, root: str, classes: int, pairs: dict | None = None, backbone: str = "random:ViT-B/16"
) -> PromptTrainer:
    """A built trainer of method `name` with the published YAML `config`, in fp32, on the noise images under `root`.

    pairs: config pairs that override the YAML; backbone: a name, or the file of a CLIP.
    """
    settings = {
        "DATASET.NAME": "BenchmarkImages", "DATASET.NUM_LABELED": classes, "DATALOADER.NUM_WORKERS": 0,
        "VERBOSE": False, f"{TRAINER_REGISTRY.get(name).node}.PREC": "fp32",
    }  # fmt: skip
    file = Path(backbone).is_file()
    settings |= {"MODEL.BACKBONE.NAME": "" if file else backbone, "MODEL.BACKBONE.PATH": backbone if file else ""}
    settings |= {"MODEL.BACKBONE.SPEC": "openai"} if file else {}
    settings |= pairs or {}
    named = ["--root", root, "--seed", "1", "--trainer", name, "--output-dir", f"{root}/out"]
    named += ["--config-file", f"configs/trainers/{CONFIG_FOLDER.get(name, name)}/{config}.yaml"]
    flat = [str(x) for pair in settings.items() for x in pair]
    with contextlib.redirect_stdout(io.StringIO()):  # the engine prints its transforms
        return build_trainer(setup_cfg(build_parser().parse_args(named + flat)))


def seconds(task: Callable, clock: Callable[[], float] | None = None) -> float:
    """Time of one call in seconds, by the wall's clock or another, including the work on the GPU."""
    clock = clock or time.perf_counter
    _wait()
    start = clock()
    task()
    _wait()
    return clock() - start


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def side_by_side(
    ours: Callable,
    theirs: Callable,
    repeats: int,
    warm: bool = False,
    clock: Callable[[], float] | None = None,
) -> tuple[float, float, float]:
    """Time both in turn. Returns (median seconds of ours, of theirs, median of the paired ratios theirs / ours).

    A first pair warms up and does not count; warm: both have run before."""
    pairs = [(seconds(ours, clock), seconds(theirs, clock)) for _ in range(repeats + (not warm))][not warm :]
    a, b = (statistics.median(column) for column in zip(*pairs, strict=True))
    return a, b, statistics.median(y / x for x, y in pairs)
