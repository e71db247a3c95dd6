"""CoOp at ViT-B/16 size against a straightforward implementation, in one run: ratios of time, side by side.

python -m benchmarks.coop                # 10 and 100 classes, 16 context tokens, batches of 8

"straightforward": the stock CLIP modules, 77 text tokens, text features anew for each test batch, as the published
forks do it. Both do the same work on the same images (random weights: time does not depend on their values), in turn,
and their outputs are compared. The last row holds a second pass through the feature bank against our own first pass.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tabulate import tabulate
from torch import Tensor, nn
from torch.nn import functional as F

import train
from clipkit import tokenize
from dassl.data.datasets import DATASET_REGISTRY, DatasetBase, Datum
from dassl.engine import build_trainer

ADJECTIVES = ("red", "old", "tall", "small", "wooden", "striped", "shiny", "broken", "wild", "frozen")
NOUNS = ("boat", "house", "tiger", "guitar", "bridge", "lamp", "tower", "cup", "tree", "horse")


@DATASET_REGISTRY.register()
class BenchmarkImages(DatasetBase):
    """Noise images under DATASET.ROOT; NUM_LABELED says how many classes."""

    def __init__(self, cfg) -> None:
        names = [f"{a} {n}" for n in NOUNS for a in ADJECTIVES][: cfg.DATASET.NUM_LABELED]
        files = sorted(Path(cfg.DATASET.ROOT).glob("*.jpg"))
        items = [Datum(str(files[i % len(files)]), i, 0, name) for i, name in enumerate(names)]
        test = [Datum(str(f), i % len(names), 0, names[i % len(names)]) for i, f in enumerate(files)]
        super().__init__(train_x=items, test=test)


class Straightforward(nn.Module):
    """CoOp written down directly over the stock CLIP: all 77 tokens, nothing kept."""

    def __init__(self, clip_model: nn.Module, names: list[str], ctx: Tensor) -> None:
        super().__init__()
        n_ctx = len(ctx)
        self.clip, self.ctx = clip_model, nn.Parameter(ctx.clone())
        self.tokens = tokenize([" ".join(["X"] * n_ctx) + f" {name}." for name in names])
        embedding = clip_model.token_embedding(self.tokens).detach()
        self.prefix, self.suffix = embedding[:, :1], embedding[:, 1 + n_ctx :]

    def text_features(self) -> Tensor:
        clip, n = self.clip, len(self.tokens)
        x = torch.cat([self.prefix, self.ctx.expand(n, -1, -1), self.suffix], dim=1) + clip.positional_embedding
        x = clip.ln_final(clip.transformer(x.permute(1, 0, 2)).permute(1, 0, 2))
        return F.normalize(x[torch.arange(n), self.tokens.argmax(-1)] @ clip.text_projection, dim=-1)

    def forward(self, image: Tensor) -> Tensor:
        features = F.normalize(self.clip.encode_image(image), dim=-1)
        return self.clip.logit_scale.exp() * features @ self.text_features().t()


def seconds(task: Callable) -> float:
    start = time.perf_counter()
    task()
    return time.perf_counter() - start


def side_by_side(ours: Callable, theirs: Callable, repeats: int) -> tuple[float, float, float]:
    """Runs both in turn; (median seconds of ours, of theirs, median of the paired ratios theirs / ours)."""
    pairs = [(seconds(ours), seconds(theirs)) for _ in range(repeats + 1)][1:]  # the first pair warms up
    a, b = (statistics.median(column) for column in zip(*pairs, strict=True))
    return a, b, statistics.median(y / x for x, y in pairs)


def build(root: str, classes: int, batch: int, backbone: str, cache: str):
    """A CoOp trainer on the noise images, and the straightforward one with the same context."""
    args = train.build_parser().parse_args(
        ["--root", root, "--seed", "1", "--trainer", "CoOp", "--output-dir", f"{root}/out", "--backbone", backbone,
         "--config-file", "configs/trainers/CoOp/vit_b16.yaml"]
        + ["DATASET.NAME", "BenchmarkImages", "DATASET.NUM_LABELED", str(classes), "DATALOADER.NUM_WORKERS", "0"]
        + ["DATALOADER.TRAIN_X.BATCH_SIZE", str(batch), "DATALOADER.TEST.BATCH_SIZE", str(batch), "VERBOSE", "False"]
    )  # fmt: skip
    trainer = build_trainer(train.setup_cfg(args))
    trainer.bank = type(trainer.bank)(cache)
    plain = Straightforward(trainer.clip, trainer.classnames, trainer.model.ctx.detach())
    return trainer, plain


def noise_images(folder: str, count: int) -> str:
    Path(folder).mkdir()
    noise = np.random.default_rng(0)
    for i in range(count):
        Image.fromarray(noise.integers(0, 255, (300, 400, 3), dtype=np.uint8)).save(f"{folder}/{i:03d}.jpg")
    return folder


def training_step(trainer, plain: Straightforward, batch: int, repeats: int) -> tuple[float, float, float]:
    image, label = torch.randn(batch, 3, 224, 224), torch.arange(batch) % len(trainer.classnames)
    optimizer = torch.optim.SGD([plain.ctx], lr=0.002, momentum=0.9)
    trainer.set_model_mode("train")
    trainer.num_batches, trainer.batch_idx = 10**9, 0

    def plain_step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(plain(image), label).backward()
        optimizer.step()

    return side_by_side(lambda: trainer.forward_backward({"img": image, "label": label}), plain_step, repeats)


@torch.no_grad()
def passes(trainer, forward: Callable[[Tensor], Tensor]) -> list[Tensor]:
    """One pass over the test images, every one of them encoded."""
    trainer.set_model_mode("eval")  # text features are kept within a pass, not between passes
    return [forward(batch["img"]) for batch in trainer.test_loader]


def measure(classes: int, args: argparse.Namespace) -> list[list]:
    rows = []
    with tempfile.TemporaryDirectory() as root:
        few, many = noise_images(f"{root}/few", args.images), noise_images(f"{root}/many", args.bank_images)
        trainer, plain = build(few, classes, args.batch, args.backbone, f"{root}/bank")
        pairs = zip(passes(trainer, trainer.model_inference), passes(trainer, plain), strict=True)
        difference = max((a - b).abs().max().item() for a, b in pairs)

        timing = training_step(trainer, plain, args.batch, args.repeats)
        rows.append([classes, f"training step, batch {args.batch}", *timing, difference])

        timing = side_by_side(
            lambda: passes(trainer, trainer.model_inference), lambda: passes(trainer, plain), args.repeats // 2
        )
        rows.append([classes, f"test pass, {args.images} images", *timing, difference])

        first, _ = build(many, classes, args.batch, args.backbone, f"{root}/bank")
        again, _ = build(many, classes, args.batch, args.backbone, f"{root}/bank")  # another seed or method
        filling, banked = seconds(first.test), seconds(again.test)  # the first pass fills the bank
        rows.append(
            [classes, f"second test pass over {args.bank_images} images", banked, filling, filling / banked, 0.0]
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
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
    main()
