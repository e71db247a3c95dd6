"""Measures time and memory of every method's step and test pass at ViT-B/16 size beside a plain implementation.

python -m speed.methods                                       # all methods, 100 classes, published batch sizes
python -m speed.methods --methods MaPLe TCP --classes 10
python -m speed.methods --methods newer --classes 10 --batch 2 --test-batch 2 --no-memory   # those of NEWER

"plain" is tests/plain: the stock CLIP modules in fp32, all 77 tokens, new text features for each test batch. As in the
published code, it too computes constant targets once, encodes the text of MMRL and ANPrompt once a test, and runs one
text pass an image for CoCoOp, and Tip-Adapter and LP++ have the features of their training images. Both sides have the
same tensors and do the same work in turn; ratios are medians of pairs. Beside them stand the operations that torch
counts (matrix products, convolutions, attention). Memory is the peak of one training step above the built model, each
side in a process of its own. The losses of both sides are compared before anything is timed; of Tip-Adapter, which
trains nothing, the logits.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from tabulate import tabulate

from dassl.utils import atomic_path
from dassl.utils.ends import one_sentence
from dassl.utils.flops import operations
from dassl.utils.screen import Screen
from runs.protocols import config_name
from tests.plain import METHODS, PlainMethod, plain_of, same_draw

from .peak_memory import peak_of
from .side_by_side import full_size_trainer, noise_images, side_by_side, workspace

PUBLISHED_PAIRS = {
    "KgCoOp": {"TRAINER.COOP.W": 8.0},  # the authors' scripts add it to the YAML
    "TwoSFS": {"TRAINER.TWOSFS.STEPS": 4800},  # as for 16 shots, so that a step is one of the first stage
}
NEWER = ("TextRefiner", "TAC", "MMRLpp", "CoOpDePT", "KgCoOpDePT", "MaPLeDePT", "PromptSRCDePT", "CoOpATPrompt",
         "CoCoOpATPrompt", "MaPLeATPrompt", "ProMetaR", "MMA", "TipAdapter", "TipAdapterF", "CLIPLoRA", "LPpp",
         "TwoSFS", "DeFT")  # fmt: skip
HEADERS = ["method", "batch", "step, s", "plain, s", "faster", "step, GFLOP", "plain, GFLOP", "step, MB", "plain, MB",
           "less", "test, s", "plain, s", "faster", "test, GFLOP", "plain, GFLOP", "difference of loss"]  # fmt: skip
FORMATS = ("", ".0f", ".2f", ".2f", ".2f", ".1f", ".1f", ".0f", ".0f", ".2f", ".2f", ".2f", ".2f", ".1f", ".1f", ".1e")
SHOTS = 16  # training images a class of LP++, which trains on all of them at once


class Both:
    """A trainer and its plain counterpart on one random training batch."""

    def __init__(self, name: str, root: str, args: argparse.Namespace) -> None:
        pairs = PUBLISHED_PAIRS.get(name, {}) | {"USE_CUDA": args.device == "cuda"}
        pairs["INPUT.SIZE"] = (args.size, args.size)
        if args.batch:
            pairs["DATALOADER.TRAIN_X.BATCH_SIZE"] = args.batch
        config = config_name(name, "caltech101")
        self.again = lambda more: full_size_trainer(name, config, root, args.classes, pairs | more, args.backbone)
        self.trainer = trainer = self.again({})
        self.plain: PlainMethod = plain_of(name, trainer)
        self.plain.keep_fixed = True
        self.batch, self.device = trainer.cfg.DATALOADER.TRAIN_X.BATCH_SIZE, trainer.device
        self.trains = bool(self.plain.parameters())
        views = [self.noise(self.batch) for _ in range(trainer.cfg.DATALOADER.K_TRANSFORMS)]
        if name == "LPpp":
            self.batch = SHOTS * args.classes
            dim = trainer.text_encoder.embed_dim
            views = [torch.nn.functional.normalize(torch.randn(self.batch, dim, device=self.device), dim=1)]
        self.image = views if len(views) > 1 else views[0]
        self.label = torch.arange(self.batch, device=self.device) % args.classes
        self.items = {"img": self.image, "label": self.label}
        if trainer.cfg.DATALOADER.RETURN_IMG0:  # TAC compares with the plain image; plain methods get it last
            self.items["img0"] = self.noise(self.batch)
            self.image = [*views, self.items["img0"]]
        trainer.set_model_mode("train")
        trainer.epoch = trainer.batch_idx = 0
        trainer.num_batches = 10**9
        if self.trains:
            self.optimizer = torch.optim.SGD(self.plain.parameters().values(), lr=1e-4, momentum=0.9)
        if name == "LPpp":
            trainer.alpha_rate = 1e-4  # computed from the features where a run begins

    def noise(self, count: int) -> torch.Tensor:
        return torch.randn(count, 3, *self.trainer.cfg.INPUT.SIZE, device=self.device)

    def difference(self) -> float:
        """The absolute difference of the two losses of the same batch; where nothing is trained, of the logits."""
        with torch.no_grad():
            if not self.trains:
                self.trainer.set_model_mode("eval")
                return (self.trainer.model_inference(self.image) - self.plain.logits(self.image)).abs().max().item()
            ours = sum(self.trainer.loss(*self.trainer.parse_batch_train(self.items))[1].values())
            same_draw(self.plain, self.trainer)
            return abs(ours - sum(self.plain.loss_terms(self.image, self.label).values())).item()

    def step(self) -> None:
        self.trainer.forward_backward(self.items)

    def plain_step(self) -> None:
        gradients = self.plain.gradients(self.image, self.label)
        for key, tensor in self.plain.parameters().items():
            tensor.grad = gradients[key]
        self.optimizer.step()

    def test_pass(self, batches: list[torch.Tensor]) -> None:
        trainer = self.trainer
        trainer.set_model_mode("eval")
        with torch.no_grad():
            for image in batches:
                trainer.model_inference(image)
        trainer.set_model_mode("train")

    def plain_test_pass(self, batches: list[torch.Tensor]) -> None:
        self.plain.new_test()
        with torch.no_grad():
            for image in batches:
                self.plain.logits(image)


def measure(name: str, root: str, args: argparse.Namespace) -> list:
    """Measure a method; returns its row of the table."""
    both = Both(name, root, args)
    difference = both.difference()
    batches = [both.noise(args.test_batch) for _ in range(args.test_batches)]
    step, memory = [None] * 5, [None] * 3
    clock = time.process_time if args.cpu_time else time.perf_counter
    test = both_ways(lambda: both.test_pass(batches), lambda: both.plain_test_pass(batches), args.repeats, clock)
    if both.trains:
        step = both_ways(both.step, both.plain_step, args.repeats, clock)
    if both.trains and args.memory:
        ours, plain = (in_own_process(name, side, args) / 2**20 for side in ("ours", "plain"))
        memory = [ours, plain, plain / ours]
    return [name, both.batch, *step, *memory, *test, difference]


def both_ways(ours: Callable, plain: Callable, repeats: int, clock: Callable[[], float]) -> list[float]:
    """Seconds of ours and plain, their ratio (see `side_by_side`), and the GFLOP of each, counted in the warm-up."""
    counts = [gflop(task) for task in (ours, plain)]
    return [*side_by_side(ours, plain, repeats, warm=True, clock=clock), *counts]


def gflop(task: Callable) -> float:
    """The operations of a call, in 10^9, that torch counts: matrix products, convolutions, attention."""
    return operations(task) / 1e9


def in_own_process(name: str, side: str, args: argparse.Namespace) -> int:
    """Peak memory in bytes of one training step of `side`, measured by this module in a new process."""
    command = [sys.executable, "-m", "speed.methods", "--probe", side, "--methods", name, "--device", args.device]
    command += ["--classes", str(args.classes), "--batch", str(args.batch), "--backbone", args.backbone]
    command += ["--size", str(args.size)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"Measuring {name} ({side}) failed:\n{done.stderr[-2000:]}")
    return int(done.stdout.split()[-1])


def probe(name: str, side: str, root: str, args: argparse.Namespace) -> int:
    """Peak memory in bytes of one training step; runs in the process that `in_own_process` starts."""
    both = Both(name, root, args)
    if side == "plain":
        both.plain.stand_ins = True
        return peak_of(both.plain_step, both.device)
    with torch.no_grad():
        both.trainer.loss(
            *both.trainer.parse_batch_train(both.items)
        )  # computes what is computed once, before the measured step
    return peak_of(both.step, both.device)


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=Screen)
    parser.add_argument("--methods", nargs="+", choices=[*METHODS, "newer"], default=list(METHODS), metavar="METHOD")
    parser.add_argument("--classes", type=int, choices=range(1, 101), default=100, metavar="1..100")
    parser.add_argument("--repeats", type=int, default=2, help="timed pairs, after one to warm up")
    parser.add_argument("--batch", type=int, default=0, help="training images a step; 0: as published")
    parser.add_argument("--test-batches", type=int, default=3)
    parser.add_argument("--test-batch", type=int, default=16, help="images in each test batch")
    parser.add_argument("--backbone", default="random:ViT-B/16", help="a name, or the file of a CLIP")
    parser.add_argument("--size", type=int, default=224, help="pixels of an image's side")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument(
        "--cpu-time", action="store_true", help="seconds of all cores, for a machine that does other work"
    )
    parser.add_argument("--no-memory", dest="memory", action="store_false", help="do not measure memory")
    parser.add_argument("--markdown", default="", metavar="FILE", help="also write the table to this file")
    parser.add_argument("--probe", choices=["ours", "plain"], help=argparse.SUPPRESS)
    return parser


@one_sentence()
def main() -> None:
    args = build_parser().parse_args()
    args.methods = [name for given in args.methods for name in (NEWER if given == "newer" else [given])]
    if args.device == "auto":
        args.device = "cuda" if torch.cuda.is_available() else "cpu"
    rows = []
    with workspace() as root:
        images = noise_images(f"{root}/images", 2)
        if args.probe:
            print(probe(args.methods[0], args.probe, images, args))
            return
        for name in args.methods:
            rows.append(measure(name, images, args))
            print(tabulate(rows[-1:], HEADERS, tablefmt="plain", floatfmt=FORMATS), flush=True)
    where = torch.cuda.get_device_name() if args.device == "cuda" else f"{torch.get_num_threads()} threads, CPU"
    if args.cpu_time:
        where += ", seconds of CPU time"
    said = (
        f"{args.backbone}, {where}, fp32, {args.classes} classes, {args.test_batches} test batches of {args.test_batch}"
    )
    shown = [i for i in range(len(HEADERS)) if args.memory or i not in range(7, 10)]
    headers, formats = ([column[i] for i in shown] for column in (HEADERS, FORMATS))
    table = tabulate(
        [[row[i] for i in shown] for row in rows], headers, tablefmt="github", floatfmt=formats, missingval="-"
    )
    print(f"\n{said}\n\n{table}")
    if args.markdown:
        with atomic_path(args.markdown) as temporary, open(temporary, "w", encoding="utf-8") as file:
            file.write(f"{said}\n\n{table}\n")


if __name__ == "__main__":
    sys.exit(main())
