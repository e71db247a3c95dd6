"""Times training steps and R-TPT on features from disk beside the same without them, at ViT-B/16 size.

python -m speed.bank                              # both sections, 100 classes, one thread
python -m speed.bank --sections steps --methods CoOp
python -m speed.bank --sections views --images 20

steps   a training step, reading and cropping of its images included: with a warm bank of features, without it, and
        that of the plain implementation (tests/plain), which is given its images in memory
views   R-TPT on test images whose views TPT has encoded, and R-TPT alone

All that is compared is done in turn by one process. Ratios are medians of pairs; operations are counted by torch in one
round before them. Weights are random.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from tabulate import tabulate

from dassl.utils import atomic_path
from dassl.utils.ends import one_sentence
from dassl.utils.screen import Screen
from tests.plain import same_draw
from trainers.base import PromptTrainer

from .methods import Both
from .operations import operations
from .side_by_side import full_size_trainer, noise_images, seconds, workspace

METHODS = ("CoOp", "KgCoOp", "DPSEP")
OFF = {"TRAIN.FEATURE_BANK": False, "TEST.FEATURE_BANK": False}
STEPS = ["method", "warm, s a step", "without, s", "plain, s", "without / warm", "plain / warm"]
STEPS += ["warm, TFLOP a step", "without", "plain", "losses apart"]
VIEWS = ["images", "TPT, s", "R-TPT alone, s", "R-TPT after TPT, s", "alone / after", "alone, TFLOP an image", "after"]
VIEWS += ["outputs"]


class Epochs:
    """Epochs of a trainer's own loop, one a call; counts steps and sums the losses."""

    def __init__(self, trainer: PromptTrainer) -> None:
        self.trainer, self.next = trainer, 0
        self.losses: list[float] = []

    def __call__(self) -> None:
        trainer = self.trainer
        trainer.epoch, self.next = self.next, self.next + 1
        trainer.seed_epoch()
        trainer.set_model_mode("train")
        with quiet():
            for trainer.batch_idx, args in enumerate(trainer._batches()):  # noqa: B020
                self.losses.append(trainer.forward_backward(*args)["loss"])


def steps(args: argparse.Namespace) -> Iterator[list]:
    """A row for each method."""
    with workspace() as root:
        images = noise_images(f"{root}/images", args.classes)
        for number, name in enumerate(args.methods):
            both = Both(name, images, args)
            warm, without = Epochs(both.trainer), Epochs(both.again({"TRAIN.FEATURE_BANK": False}))
            if not number:  # the other methods find these crops on disk
                first = Epochs(both.again({}))
                for _ in range(args.repeats + 1):
                    first()
            same_draw(both.plain, both.trainer)
            with torch.no_grad():
                both.plain.loss_terms(both.image[:1], both.label[:1])  # what it computes once
            counted = [operations(task) for task in (warm, without, both.plain_step)]
            count = len(warm.losses)
            times = [[seconds(task) for task in (warm, without, both.plain_step)] for _ in range(args.repeats)]
            times = [[x / count, y / count, z] for x, y, z in times]
            own, off, plain = (statistics.median(column) for column in zip(*times, strict=True))
            ratios = [statistics.median(row[i] / row[0] for row in times) for i in (1, 2)]
            assert both.trainer.reads["training_crops"] == len(warm.losses) * both.batch, "the bank was not warm"
            apart = max(abs(x - y) for x, y in zip(warm.losses, without.losses, strict=True))
            flops = [x / n / 1e12 for x, n in zip(counted, (count, count, 1), strict=True)]
            yield [name, own, off, plain, *ratios, *flops, apart]


def views(args: argparse.Namespace) -> Iterator[list]:
    """One row. The images are tested in groups: each by TPT, then by R-TPT both ways in turn."""
    with workspace() as root:
        files = sorted(Path(noise_images(f"{root}/all", args.images + 1)).iterdir())
        groups = [files[:1], *(files[1 + i :: args.groups] for i in range(args.groups))]  # the first: to count
        rows, counted, same = [], [], True
        for number, group in enumerate(groups):
            folder = Path(root, f"group{number}")
            folder.mkdir()
            for file in group:
                file.rename(folder / file.name)
            tpt, alone, after = (TestOf(*each, folder, args) for each in (("TPT", {}), ("RTPT", OFF), ("RTPT", {})))
            if number:
                rows.append([len(group), *(seconds(test) for test in (tpt, alone, after))])
            else:
                counted = [operations(test) / 1e12 for test in (tpt, alone, after)][1:]
            assert after.trainer.reads["views"] == len(group) * args.views, "TPT has not left these views"
            mine, theirs = (test.trainer.evaluator.outputs.arrays() for test in (alone, after))
            same &= all(np.array_equal(mine[name], theirs[name]) for name in mine.keys() | theirs.keys())
        total = [sum(column) for column in zip(*rows, strict=True)]
        yield [*total, statistics.median(row[2] / row[3] for row in rows), *counted, "same" if same else "differ"]


class TestOf:
    """The test of a method on all images of a folder."""

    __test__ = False  # for pytest

    def __init__(self, name: str, pairs: dict, folder: Path, args: argparse.Namespace) -> None:
        own = {"TRAINER.TTA.N_VIEWS": args.views, "INPUT.SIZE": (args.size, args.size), "USE_CUDA": False}
        own |= {"TEST.OUTPUTS": "logits"} | pairs
        self.trainer = full_size_trainer(name, "vit_b16", str(folder), args.classes, own, args.backbone)

    def __call__(self) -> None:
        with quiet():
            self.trainer.test()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    with contextlib.redirect_stdout(io.StringIO()):
        yield


SECTIONS = {"steps": (steps, STEPS), "views": (views, VIEWS)}


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=Screen)
    parser.add_argument("--sections", nargs="+", choices=list(SECTIONS), default=list(SECTIONS), metavar="SECTION")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), metavar="METHOD")
    parser.add_argument("--classes", type=int, default=100, help="and training images: one a class")
    parser.add_argument("--batch", type=int, default=32, help="images a step")
    parser.add_argument("--repeats", type=int, default=3, help="timed rounds of `steps`")
    parser.add_argument("--images", type=int, default=20, help="test images of `views`")
    parser.add_argument("--groups", type=int, default=5, help="of the images of `views`: a pair each")
    parser.add_argument("--views", type=int, default=64, help="of each test image")
    parser.add_argument("--backbone", default="random:ViT-B/16", help="a name, or the file of a CLIP")
    parser.add_argument("--size", type=int, default=224, help="pixels of an image's side")
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    parser.add_argument("--markdown", default="", metavar="FILE", help="also write the tables to this file")
    return parser


@one_sentence()
def main(argv: list[str] | None = None) -> None:
    args = build_parser().parse_args(argv)
    args.device = "cpu"
    torch.set_num_threads(args.threads)
    parts = [f"{args.backbone}, {args.threads} threads, CPU, fp32, {args.classes} classes, batches of {args.batch}"]
    for section in args.sections:
        measure, headers = SECTIONS[section]
        rows = []
        for row in measure(args):
            rows.append(row)
            print(tabulate(rows[-1:], headers, tablefmt="plain", floatfmt=".3g"), flush=True)
        parts.append(tabulate(rows, headers, tablefmt="github", floatfmt=".3g"))
    text = "\n\n".join(parts) + "\n"
    print(f"\n{text}")
    if args.markdown:
        with atomic_path(args.markdown) as temporary:
            Path(temporary).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
