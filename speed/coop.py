"""Times CoOp at ViT-B/16 size beside a straightforward implementation.

python -m speed.coop                # 10 and 100 classes, 16 context tokens, batches of 8

The straightforward one (tests/plain) uses the stock CLIP modules, 77 text tokens, and new text features for each test
batch, as in the published forks. Both do the same work on the same images in turn, and their outputs are compared. The
weights are random, since the time does not depend on them. The last row compares a second test pass, which reads the
feature bank, with our first pass. `python -m speed.methods` times all methods.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

import torch
from tabulate import tabulate
from torch import Tensor
from torch.nn import functional as F

from dassl.utils.ends import one_sentence
from dassl.utils.screen import Screen
from tests.plain import PlainMethod, plain_of
from trainers.base import PromptTrainer

from .side_by_side import full_size_trainer, noise_images, seconds, side_by_side, workspace


def build(root: str, classes: int, batch: int, backbone: str) -> tuple[PromptTrainer, PlainMethod]:
    """A CoOp trainer on the noise images, and the plain method with the same context."""
    pairs = {"USE_CUDA": False, "DATALOADER.TRAIN_X.BATCH_SIZE": batch, "DATALOADER.TEST.BATCH_SIZE": batch}
    trainer = full_size_trainer("CoOp", "vit_b16", root, classes, pairs, backbone)
    return trainer, plain_of("CoOp", trainer)


def training_step(trainer: PromptTrainer, plain: PlainMethod, batch: int, repeats: int) -> tuple[float, float, float]:
    image, label = torch.randn(batch, 3, 224, 224), torch.arange(batch) % len(trainer.classnames)
    optimizer = torch.optim.SGD(plain.parameters().values(), lr=0.002, momentum=0.9)
    trainer.set_model_mode("train")
    trainer.num_batches, trainer.batch_idx = 10**9, 0

    def plain_step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(plain.logits(image), label).backward()
        optimizer.step()

    return side_by_side(lambda: trainer.forward_backward({"img": image, "label": label}), plain_step, repeats)


@torch.no_grad()
def passes(trainer: PromptTrainer, forward: Callable[[Tensor], Tensor]) -> list[Tensor]:
    """The logits of one pass over the test images, with every image encoded."""
    trainer.set_model_mode("eval")  # text features are kept within a pass, not between passes
    return [forward(batch["img"]) for batch in trainer.test_loader]


@torch.no_grad()
def bank_difference(trainer: PromptTrainer) -> float:
    """The largest difference between the logits of the first test batch from its images and from the feature bank."""
    trainer.set_model_mode("eval")
    loaders = (trainer.test_loader, trainer.banked(trainer.test_loader))
    a, b = (trainer.model_inference(next(iter(loader))["img"]) for loader in loaders)
    return (a - b).abs().max().item()


def measure(classes: int, args: argparse.Namespace) -> list[list]:
    rows = []
    with workspace() as root:
        few, many = noise_images(f"{root}/few", args.images), noise_images(f"{root}/many", args.bank_images)
        trainer, plain = build(few, classes, args.batch, args.backbone)
        pairs = zip(passes(trainer, trainer.model_inference), passes(trainer, plain.logits), strict=True)
        difference = max((a - b).abs().max().item() for a, b in pairs)

        timing = training_step(trainer, plain, args.batch, args.repeats)
        rows.append([classes, f"training step, batch {args.batch}", *timing, difference])

        timing = side_by_side(
            lambda: passes(trainer, trainer.model_inference),
            lambda: passes(trainer, plain.logits),
            max(1, args.repeats // 2),
        )
        rows.append([classes, f"test pass, {args.images} images", *timing, difference])

        first, _ = build(many, classes, args.batch, args.backbone)
        again, _ = build(many, classes, args.batch, args.backbone)  # another seed or method
        filling, banked = seconds(first.test), seconds(again.test)  # the first pass fills the bank
        what = f"second test pass over {args.bank_images} images"
        rows.append([classes, what, banked, filling, filling / banked, bank_difference(again)])
    return rows


@one_sentence()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=Screen)
    parser.add_argument("--classes", type=int, nargs="+", default=[10, 100])
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--images", type=int, default=96, help="test images")
    parser.add_argument("--bank-images", type=int, default=96, help="test images of the second pass")
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--backbone", default="random:ViT-B/16")
    args = parser.parse_args()
    rows = [row for classes in args.classes for row in measure(classes, args)]
    print(f"{args.backbone}, {torch.get_num_threads()} threads, CPU, fp32, 16 context tokens")
    headers = ["classes", "what", "ours, s", "other, s", "times faster", "max difference of logits"]
    print(tabulate(rows, headers, floatfmt=(".0f", "", ".2f", ".2f", ".2f", ".1e")))


if __name__ == "__main__":
    sys.exit(main())
