"""Measures time and memory of a training step with and without SAR (200 novel names), at ViT-B/16 size.

python -m speed.sar                                    # CoOp and MaPLe, 100 classes, published batch sizes
python -m speed.sar --hosts CoOp --classes 500         # as many classes as ImageNet's base half

"plain" is the same pair of methods without optimisations (tests/plain): 77 tokens for every name. The overhead is the
median of paired ratios, the two timed in turn; memory is the peak of one step above the built model, in a process of
its own. The published figures for CoOp on ImageNet with 200 names are 65 % more time and 34 % more memory.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from tabulate import tabulate
from torch import Tensor
from torch.nn import functional as F

from dassl.utils import atomic_path
from dassl.utils.ends import one_sentence
from dassl.utils.screen import Screen
from runs.config_names import config_name
from tests.plain import plain_of
from trainers.base import PromptTrainer
from trainers.parts.sar_names import novel_names, sar_seed
from trainers.parts.similarity_alignment import SimilarityAlignment

from .peak_memory import peak_of
from .side_by_side import full_size_trainer, noise_images, side_by_side, workspace

SIDES = ("host", "sar", "plain host", "plain sar")
PLAIN_HOSTS = ("CoOp", "KgCoOp", "TCP", "MaPLe")
HEADERS = ["host", "classes", "batch", "novel", "step, s", "+ SAR, s", "more time", "plain: more time",
           "step, MB", "+ SAR, MB", "more memory", "plain: more memory"]  # fmt: skip


def names_file(root: str, count: int) -> str:
    """Write a file with `count` names, none of which is a class of the noise images; returns its path."""
    words = ("iron", "paper", "silver", "woollen", "hollow", "crooked", "painted", "tiny", "golden", "narrow")
    things = "anchor basket candle drum engine fence garden helmet island jacket"
    things += " kettle ladder mirror needle oven pillow quilt rope saddle tunnel"
    file = Path(root) / "novel.txt"
    file.write_text("\n".join([f"{w} {t}" for w in words for t in things.split()][:count]))
    return str(file)


def build_step(host: str, side: str, images: str, args: argparse.Namespace) -> tuple[Callable, torch.device, int]:
    """(function that takes a training step, its device, batch size) of one of `SIDES`."""
    sar = side.endswith("sar")
    pairs = {"USE_CUDA": args.device == "cuda"}
    if args.batch:
        pairs["DATALOADER.TRAIN_X.BATCH_SIZE"] = args.batch
    if sar:
        pairs |= {"TRAINER.SAR.NOVEL_SOURCE": "file", "TRAINER.SAR.NOVEL_FILE": names_file(images, args.novel)}
        pairs |= {"TRAINER.SAR.NUM_NOVEL": args.novel, "TRAINER.SAR.CHUNK": args.chunk}
    name = f"{host}SAR" if sar else host
    trainer = full_size_trainer(name, config_name(name, "caltech101"), images, args.classes, pairs, args.backbone)
    batch, device = trainer.cfg.DATALOADER.TRAIN_X.BATCH_SIZE, trainer.device
    views = [torch.randn(batch, 3, 224, 224, device=device) for _ in range(trainer.cfg.DATALOADER.K_TRANSFORMS)]
    image, label = views if len(views) > 1 else views[0], torch.arange(batch, device=device) % args.classes
    trainer.set_model_mode("train")
    trainer.epoch = trainer.batch_idx = 0
    trainer.num_batches = 10**9
    if sar:
        trainer.build_alignment()
    if side.startswith("plain"):
        return plain_step(host, trainer, image, label, sar), device, batch
    return lambda: trainer.forward_backward({"img": image, "label": label}), device, batch


def plain_step(host: str, trainer: PromptTrainer, image: Tensor, label: Tensor, sar: bool) -> Callable:
    """The same step as a plain implementation, over all 77 tokens of all names."""
    plain = plain_of(host, trainer)
    plain.keep_fixed = True
    classes, texts = len(trainer.classnames), plain.encode_text
    if not sar:
        return lambda: plain.gradients(image, label)
    alignment: SimilarityAlignment = trainer.alignment
    base_names, all_names = plain.names, [*trainer.classnames, *novel_names(trainer, sar_seed(trainer.cfg))[0]]

    def step() -> None:
        plain.names = all_names
        learned = texts()
        plain.names = base_names
        plain.encode_text = lambda: learned[:classes]
        terms = plain.loss_terms(image, label)
        loss = sum(terms.values()) + alignment(F.normalize(learned, dim=-1), 0, 0)
        torch.autograd.grad(loss, list(plain.parameters().values()))

    return step


def memory(host: str, side: str, args: argparse.Namespace) -> float:
    """Peak memory in MB of one step of a side, measured by this module in a new process."""
    command = [sys.executable, "-m", "speed.sar", "--probe", side, "--hosts", host, "--device", args.device]
    command += ["--classes", str(args.classes), "--batch", str(args.batch), "--novel", str(args.novel)]
    command += ["--chunk", str(args.chunk)]
    done = subprocess.run([*command, "--backbone", args.backbone], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"Measuring {host} ({side}) failed:\n{done.stderr[-2000:]}")
    return int(done.stdout.split()[-1]) / 2**20


def measure(host: str, images: str, args: argparse.Namespace) -> list:
    """Measure a host; returns its row of the table."""
    sides = SIDES if args.plain and host in PLAIN_HOSTS else SIDES[:2]
    steps, batch = {}, 0
    for side in sides:
        steps[side], _, batch = build_step(host, side, images, args)
    own, with_sar, ratio = side_by_side(steps["host"], steps["sar"], args.repeats)
    plain_ratio = side_by_side(steps["plain host"], steps["plain sar"], args.repeats)[2] if len(sides) > 2 else None
    used = {side: memory(host, side, args) for side in sides} if args.memory else {}

    def more(a: str, b: str) -> str:
        return f"{100 * (used[b] / used[a] - 1):.0f} %" if a in used else "-"

    return [
        host, args.classes, batch, args.novel, f"{own:.2f}", f"{with_sar:.2f}", f"{100 * (ratio - 1):.0f} %",
        "-" if plain_ratio is None else f"{100 * (plain_ratio - 1):.0f} %",
        *(f"{used[s]:.0f}" if s in used else "-" for s in ("host", "sar")),
        more("host", "sar"), more("plain host", "plain sar"),
    ]  # fmt: skip


@one_sentence()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=Screen)
    parser.add_argument("--hosts", nargs="+", default=["CoOp", "MaPLe"])
    parser.add_argument("--classes", type=int, default=100, help="up to 500")
    parser.add_argument("--novel", type=int, default=200)
    parser.add_argument("--chunk", type=int, default=0, help="TRAINER.SAR.CHUNK: novel names in memory at a time")
    parser.add_argument("--batch", type=int, default=0, help="training images a step; 0: as published")
    parser.add_argument("--repeats", type=int, default=2, help="timed pairs, after one to warm up")
    parser.add_argument("--backbone", default="random:ViT-B/16")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--no-plain", dest="plain", action="store_false", help="do not measure the plain pair")
    parser.add_argument("--no-memory", dest="memory", action="store_false")
    parser.add_argument("--markdown", default="", metavar="FILE")
    parser.add_argument("--probe", choices=SIDES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.device == "auto":
        args.device = "cuda" if torch.cuda.is_available() else "cpu"
    with workspace() as root:
        images = noise_images(f"{root}/images", 2)
        if args.probe:
            step, device, _ = build_step(args.hosts[0], args.probe, images, args)
            print(peak_of(step, device))
            return
        rows = [measure(host, images, args) for host in args.hosts]
    where = torch.cuda.get_device_name() if args.device == "cuda" else f"{torch.get_num_threads()} threads, CPU"
    text = f"{args.backbone}, {where}, fp32\n\n{tabulate(rows, HEADERS, tablefmt='github', disable_numparse=True)}\n"
    print(text)
    if args.markdown:
        with atomic_path(args.markdown) as temporary:
            Path(temporary).write_text(text)


if __name__ == "__main__":
    sys.exit(main())
