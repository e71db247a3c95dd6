"""Measures steps of several trainings at once beside the same trainings one after another, on features of images.

python -m speed.stack                                           # CoOp, 8 runs, ViT-B/16 size, 10 classes
python -m speed.stack --backbone Embedded --size 48 --methods CoOp KgCoOp PTNL DPSEP --runs 2 8

The trainings have contexts of their own, and take the same batches both ways; ratios are medians of pairs, of seconds
and of CPU seconds of the process. The text tower does the same arithmetic in both, in fewer and larger pieces.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial

import torch
from tabulate import tabulate

from clipkit import TextEncoder
from dassl.utils.ends import one_sentence
from runs.protocols import config_name
from trainers.shared.joint_text import JointTextEncoder
from trainers.shared.lockstep import Lockstep

from .side_by_side import full_size_trainer, noise_images, seconds, workspace

HEADERS = ["method", "runs", "one by one, ms a step and run", "at once", "faster", "less CPU time"]


class Trainings:
    """`runs` trainers of one method, with a batch of features each."""

    def __init__(self, name: str, runs: int, root: str, args: argparse.Namespace) -> None:
        pairs = {"USE_CUDA": args.device == "cuda", "INPUT.SIZE": (args.size, args.size)}
        build = partial(full_size_trainer, name, config_name(name, "caltech101"), root, args.classes)
        self.trainers = [build(pairs | {"SEED": i}, args.backbone) for i in range(1, runs + 1)]
        self.steps, self.batches = args.steps, []
        for trainer in self.trainers:
            trainer.set_model_mode("train")
            trainer.batch_idx, trainer.num_batches = 0, 1000
            f = torch.nn.functional.normalize(torch.randn(args.batch, trainer.text_encoder.embed_dim), dim=1)
            self.batches.append({"img": f, "label": torch.arange(args.batch) % args.classes})

    def train(self, number: int) -> None:
        for _ in range(self.steps):
            self.trainers[number].forward_backward(self.batches[number])

    def one_by_one(self) -> None:
        for number, trainer in enumerate(self.trainers):
            trainer.text_encoder = TextEncoder(trainer.clip)
            self.train(number)

    def at_once(self) -> None:
        lockstep = Lockstep([partial(self.train, number) for number in range(len(self.trainers))])
        for trainer in self.trainers:
            trainer.text_encoder = JointTextEncoder(trainer, lockstep)
        for end in lockstep.run():
            if isinstance(end, BaseException):
                raise end


def timed(task: Callable[[], None]) -> tuple[float, float]:
    """(seconds, CPU seconds) of one call."""
    before = time.process_time()
    return seconds(task), time.process_time() - before


def measure(name: str, runs: int, root: str, args: argparse.Namespace) -> list:
    """A row of the table."""
    trainings = Trainings(name, runs, root, args)
    pairs = [(timed(trainings.one_by_one), timed(trainings.at_once)) for _ in range(args.repeats + 1)][1:]
    a, b = (1000 * statistics.median(pair[i][0] for pair in pairs) / (runs * args.steps) for i in (0, 1))
    ratios = [statistics.median(pair[0][i] / pair[1][i] for pair in pairs) for i in (0, 1)]
    return [name, runs, a, b, *ratios]


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = ["CoOp", "KgCoOp", "PTNL", "DPSEP"]
    parser.add_argument("--methods", nargs="+", choices=known, default=["CoOp"], metavar="METHOD")
    parser.add_argument("--runs", nargs="+", type=int, default=[8], help="runs at once")
    parser.add_argument("--classes", type=int, choices=range(2, 501), default=10, metavar="2..500")
    parser.add_argument("--batch", type=int, default=32, help="features a batch")
    parser.add_argument("--steps", type=int, default=5, help="steps of each run that are timed together")
    parser.add_argument("--repeats", type=int, default=3, help="timed pairs, after one to warm up")
    parser.add_argument("--backbone", default="random:ViT-B/16", help="a name, or the file of a CLIP")
    parser.add_argument("--size", type=int, default=224, help="pixels of an image's side, as the backbone reads it")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    return parser


@one_sentence()
def main(argv: list[str] | None = None) -> None:
    args = build_parser().parse_args(argv)
    if args.device == "auto":
        args.device = "cuda" if torch.cuda.is_available() else "cpu"
    with workspace() as root:
        images = noise_images(f"{root}/images", 2)
        rows = [measure(name, runs, images, args) for name in args.methods for runs in args.runs]
    where = torch.cuda.get_device_name() if args.device == "cuda" else f"{torch.get_num_threads()} threads, CPU"
    table = tabulate(rows, HEADERS, tablefmt="github", floatfmt=("", ".0f", ".1f", ".1f", ".2f", ".2f"))
    print(f"{args.backbone}, {where}, fp32, {args.classes} classes, batches of {args.batch}\n\n{table}")


if __name__ == "__main__":
    sys.exit(main())
