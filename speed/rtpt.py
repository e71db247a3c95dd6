"""Times R-TPT on one test image, and the making of its views.

python -m speed.rtpt                       # ViT-B/16 size, 100 classes, 64 views, one image
python -m speed.rtpt --views 16 --repeats 3
python -m speed.rtpt --views-only

"plain" does the published code's work for a clean image in the same order (tests/plain/rtpt.py): it encodes the views
four times, and prompts of 40 tokens at each pass. The first table does not include the making of the views, which is
the same for both sides; the second table times it.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time

import numpy as np
import torch
from PIL import Image
from tabulate import tabulate

from dassl.utils.ends import one_sentence
from dassl.utils.screen import Screen
from tests.plain.rtpt import PlainTestTimeTuning
from trainers.tta.augmix import draw_views
from trainers.tta.augmix_pil import pil_views
from trainers.tta.augmix_tensor import tensor_views

from .side_by_side import full_size_trainer, noise_images, side_by_side, workspace


@torch.no_grad()
def per_image(args: argparse.Namespace) -> list:
    """A row of the first table: seconds for an image, ours and plain, their ratio, largest difference of the logits."""
    with workspace() as root:
        images = noise_images(f"{root}/images", 2)
        pairs = {"TRAINER.TTA.N_VIEWS": args.views, "USE_CUDA": args.device == "cuda"}
        trainer = full_size_trainer("RTPT", "vit_b16", images, args.classes, pairs, args.backbone)
        plain = PlainTestTimeTuning(trainer.clip, trainer.classnames, length=40, mask="diagonal")
        size = trainer.cfg.INPUT.SIZE[0]
        views = torch.rand(1, args.views, 3, size, size, device=trainer.device)
        trainer.set_model_mode("eval")
        trainer.text_features()  # computed once a test, not once an image

        answers = {}

        def ours() -> None:
            answers["ours"] = trainer.respond(views, [0])[1][0]

        def theirs() -> None:
            with torch.enable_grad():
                answers["plain"] = plain.run((views[0] - trainer.mean) / trainer.std)[1]

        a, b, ratio = side_by_side(ours, theirs, args.repeats)
        apart = (answers["ours"] - answers["plain"]).abs().max().item()
    return [args.backbone, args.classes, args.views, f"{a:.2f}", f"{b:.2f}", f"{ratio:.2f}", f"{apart:.1e}"]


def throughput(args: argparse.Namespace, size: int = 224) -> list[list]:
    """The rows of the second table: backend, AugMix on or off, random views per second."""
    noise = np.random.default_rng(0).integers(0, 255, (size // 8, size // 8, 3), dtype=np.uint8)
    picture = Image.fromarray(noise).resize((size, size), Image.Resampling.BICUBIC)
    device = torch.device(args.device)
    tensor = torch.from_numpy(np.array(picture)).permute(2, 0, 1).to(device).float()
    makers = {
        "pil, one core": lambda drawn: pil_views(picture, drawn, (size, size)),
        f"tensor, {args.device}": lambda drawn: tensor_views(tensor, drawn, (size, size)).sum().item(),
    }
    rows = []
    for augmix in (True, False):
        for name, make in makers.items():
            seconds = []
            for repeat in range(4):
                drawn = draw_views(repeat, 63, (size, size), (size, size), augmix)
                start = time.perf_counter()
                make(drawn)
                seconds.append(time.perf_counter() - start)
            rows.append([name, "on" if augmix else "off", f"{63 / statistics.median(seconds[1:]):.0f}"])
    return rows


@one_sentence()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=Screen)
    parser.add_argument("--backbone", default="random:ViT-B/16")
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--views", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--views-only", action="store_true", help="print only the second table")
    args = parser.parse_args()
    if not args.views_only:
        headers = ["backbone", "classes", "views", "image, s", "plain, s", "plain / ours", "logits apart"]
        print(tabulate([per_image(args)], headers), "\n")
    print(tabulate(throughput(args), ["backend", "AugMix", "views a second"]))


if __name__ == "__main__":
    sys.exit(main())
