"""Measures time and memory of VisPrompt's training step with its B x C text passes in chunks and all at once.

python -m speed.visprompt_chunks                        # ViT-B/16 size, 100 classes, 16 images, fp32
python -m speed.visprompt_chunks --chunks 400 --classes 50

"all at once" keeps the activations of all B x C prompts until the backward pass, as autograd does by default. In chunks
the gradient of a chunk is computed right after its forward pass. Both do the same work on the same images in turn; the
ratio is the median of pairs, memory the peak of one step above the built model, each in a process of its own.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

import torch
from tabulate import tabulate

from dassl.utils.ends import one_sentence
from dassl.utils.screen import Screen

from .peak_memory import peak_of
from .side_by_side import full_size_trainer, noise_images, side_by_side, workspace

HEADERS = ["prompts a chunk", "chunks", "step, s", "at once, s", "chunked / at once", "step, MB", "at once, MB",
           "difference of gradient"]  # fmt: skip


class Step:
    """One training step on random images; `trainer.images_at_a_time` may be set between calls."""

    def __init__(self, root: str, args: argparse.Namespace) -> None:
        pairs = {"USE_CUDA": args.device == "cuda", "DATALOADER.TRAIN_X.BATCH_SIZE": args.batch}
        pairs["INPUT.SIZE"] = (args.size, args.size)
        self.trainer = full_size_trainer("VisPrompt", "vit_b16", root, args.classes, pairs, args.backbone)
        self.trainer.set_model_mode("train")
        self.trainer.epoch = self.trainer.batch_idx = 0
        self.trainer.num_batches = 10**9
        self.image = torch.randn(args.batch, 3, args.size, args.size, device=self.trainer.device)
        self.label = torch.arange(args.batch, device=self.trainer.device) % args.classes
        self.automatic = self.trainer.images_at_a_time

    def take(self, images: int) -> None:
        """Take a step with the prompts of `images` images at a time."""
        self.trainer.images_at_a_time = images
        self.trainer.forward_backward({"img": self.image, "label": self.label})

    def gradient(self, images: int) -> torch.Tensor:
        """The gradient of the context, without an update."""
        self.trainer.images_at_a_time = images
        total = sum(self.trainer.loss(self.image, self.label)[1].values())
        return torch.autograd.grad(total, self.trainer.model.ctx)[0]


def peak(images: int, args: argparse.Namespace) -> float:
    """Peak memory in MB of one step, measured by this module in a new process."""
    command = [sys.executable, "-m", "speed.visprompt_chunks", "--probe", str(images), "--device", args.device]
    for key in ("classes", "batch", "backbone", "size"):
        command += [f"--{key}", str(getattr(args, key))]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"Measuring {images} images at a time failed:\n{done.stderr[-2000:]}")
    return int(done.stdout.split()[-1]) / 2**20


def measure(root: str, args: argparse.Namespace) -> list[list]:
    step, all_at_once, rows = Step(root, args), args.batch, []
    memory = peak(all_at_once, args)
    for sequences in args.chunks:
        images = min(args.batch, max(1, sequences // args.classes) if sequences else step.automatic)
        expected = step.gradient(all_at_once)  # computed again, since the timed steps below change the weights
        difference = (step.gradient(images) - expected).abs().max() / expected.abs().max()
        chunked, whole, ratio = side_by_side(
            lambda images=images: step.take(images), lambda: step.take(all_at_once), args.repeats
        )
        name = f"{images * args.classes}{'' if sequences else ' (default)'}"
        rows.append([name, -(-args.batch // images), chunked, whole, 1 / ratio, peak(images, args), memory, difference])
    return rows


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=Screen)
    parser.add_argument("--classes", type=int, choices=range(1, 101), default=100, metavar="1..100")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--chunks", type=int, nargs="+", default=[0, 100], help="prompts a chunk; 0: the default")
    parser.add_argument("--repeats", type=int, default=2, help="timed pairs, after one to warm up")
    parser.add_argument("--backbone", default="random:ViT-B/16", help="a name, or the file of a CLIP")
    parser.add_argument("--size", type=int, default=224, help="pixels of an image's side")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--probe", type=int, help=argparse.SUPPRESS)
    return parser


@one_sentence()
def main() -> None:
    args = build_parser().parse_args()
    with workspace() as root:
        images = noise_images(f"{root}/images", 2)
        if args.probe:
            step = Step(images, args)
            print(peak_of(lambda: step.take(args.probe), step.trainer.device))
            return
        rows = measure(images, args)
    print(f"{args.backbone}, {args.device}, {torch.get_num_threads()} threads, fp32, {args.classes} classes, "
          f"{args.batch} images")  # fmt: skip
    print(tabulate(rows, HEADERS, tablefmt="github", floatfmt=("", ".0f", ".2f", ".2f", ".2f", ".0f", ".0f", ".1e")))


if __name__ == "__main__":
    sys.exit(main())
