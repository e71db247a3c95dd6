"""Measures time and memory of a training step of the methods against label noise beside CoOp's, at ViT-B/16 size.

python -m speed.noise_methods                                      # 100 classes, published batch sizes
python -m speed.noise_methods --methods DPSEP JoAPR --classes 10

Method and CoOp take a step in turn; ratios are medians of pairs, for a step and for each of its images. Memory is the
peak of a step above that in use after the first, the median of three, each method in a process of its own. Steps of the
warm-up are not measured; a step of JoAPR has a clean and a noisy batch. The test pass over the training list by which
NLPrompt, JoAPR and VisPrompt judge the labels once an epoch is not part of a step.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import subprocess
import sys
from pathlib import Path

import torch
from tabulate import tabulate

from dassl.engine import TRAINER_REGISTRY
from dassl.utils import atomic_path
from dassl.utils.ends import one_sentence
from dassl.utils.screen import Screen
from runs.config_names import config_name

from .peak_memory import peak_of
from .side_by_side import full_size_trainer, noise_images, side_by_side, workspace

METHODS = ("PTNL", "DPSEP", "NLPrompt", "JoAPR", "VisPrompt")
BASE = "CoOp"
HEADERS = ["method", "images", "step, s", f"{BASE}, s", "times", "times an image", "step, MB", f"times {BASE}"]


class Step:
    """One training step of a method, which can be repeated."""

    def __init__(self, name: str, root: str, args: argparse.Namespace) -> None:
        pairs = {"USE_CUDA": args.device == "cuda", "INPUT.SIZE": (args.size, args.size)}
        if args.batch:
            pairs["DATALOADER.TRAIN_X.BATCH_SIZE"] = args.batch
        config = config_name(name, "caltech101", "FS")
        self.trainer = trainer = full_size_trainer(name, config, root, args.classes, pairs, args.backbone)
        self.device = trainer.device
        self.images = trainer.cfg.DATALOADER.TRAIN_X.BATCH_SIZE * (2 if name == "JoAPR" else 1)
        trainer.set_model_mode("train")
        trainer.epoch, trainer.batch_idx = trainer.max_epoch - 1, 0
        trainer.num_batches = 10**9
        index = torch.arange(self.images) % args.classes
        image = torch.randn(self.images, 3, args.size, args.size, device=self.device)
        # "clean": a step on noisy items has a different loss but the same cost
        self.batch = {"img": image, "label": index, "index": index, "part": "both" if name == "JoAPR" else "clean"}
        if name == "JoAPR":
            trainer.is_clean = torch.arange(args.classes, device=self.device) % 2 == 0
            trainer.weight = torch.full((args.classes,), 0.5, device=self.device)

    def __call__(self) -> None:
        self.trainer.forward_backward(self.batch)


def measure(name: str, root: str, args: argparse.Namespace) -> list:
    """Measure a method; returns its row of the table."""
    step, base = Step(name, root, args), Step(BASE, root, args)
    own, coop, faster = side_by_side(step, base, args.repeats)
    memory = [None, None]
    if args.memory:
        mine, theirs = (in_own_process(each, *probe_options(args)) / 2**20 for each in (name, BASE))
        memory = [mine, mine / theirs]
    return [name, step.images, own, coop, 1 / faster, base.images / step.images / faster, *memory]


def probe_options(args: argparse.Namespace) -> tuple[str, ...]:
    names = ("device", "classes", "batch", "backbone", "size")
    return tuple(text for name in names for text in (f"--{name}", str(getattr(args, name))))


@functools.cache
def in_own_process(name: str, *options: str) -> int:
    """Peak memory in bytes of a step, measured by this module in a new process."""
    command = [sys.executable, "-m", "speed.noise_methods", "--probe", name, *options]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"Measuring {name} failed:\n{done.stderr[-2000:]}")
    return int(done.stdout.split()[-1])


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=Screen)
    known = [name for name in METHODS if name in TRAINER_REGISTRY.registered_names()]
    parser.add_argument("--methods", nargs="+", choices=known, default=known, metavar="METHOD")
    parser.add_argument("--classes", type=int, choices=range(2, 501), default=100, metavar="2..500")
    parser.add_argument("--repeats", type=int, default=2, help="timed pairs, after one to warm up")
    parser.add_argument("--batch", type=int, default=0, help="training images a batch; 0: as published")
    parser.add_argument("--backbone", default="random:ViT-B/16", help="a name, or the file of a CLIP")
    parser.add_argument("--size", type=int, default=224, help="pixels of an image's side")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--no-memory", dest="memory", action="store_false", help="do not measure memory")
    parser.add_argument("--markdown", default="", metavar="FILE", help="also write the table to this file")
    parser.add_argument("--probe", choices=[BASE, *known], help=argparse.SUPPRESS)
    return parser


@one_sentence()
def main(argv: list[str] | None = None) -> None:
    args = build_parser().parse_args(argv)
    if args.device == "auto":
        args.device = "cuda" if torch.cuda.is_available() else "cpu"
    with workspace() as root:
        images = noise_images(f"{root}/images", 2)
        if args.probe:
            step = Step(args.probe, images, args)
            step()  # makes what is made once (momentum, cached tensors), before the measured steps
            print(statistics.median(peak_of(step, step.device) for _ in range(3)))
            return
        rows: list[list] = []
        formats = ("", ".0f", ".2f", ".2f", ".2f", ".2f", ".0f", ".2f")
        for name in args.methods:
            rows.append(measure(name, images, args))
            print(tabulate(rows[-1:], HEADERS, tablefmt="plain", floatfmt=formats), flush=True)
    where = torch.cuda.get_device_name() if args.device == "cuda" else f"{torch.get_num_threads()} threads, CPU"
    table = tabulate(rows, HEADERS, tablefmt="github", floatfmt=formats)
    text = f"{args.backbone}, {where}, fp32, {args.classes} classes\n\n{table}\n"
    print(f"\n{text}")
    if args.markdown:
        with atomic_path(args.markdown) as temporary:
            Path(temporary).write_text(text)


if __name__ == "__main__":
    sys.exit(main())
