"""What the embedded CLIP knows of photographs: `python -m datasets.embedded.photo_check --root DATA`.

Zero-shot accuracy on Caltech101, apart for the classes whose photographs it was trained on and for those that were left
out. It says whether the left-out classes are above chance.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from scipy.stats import binomtest
from torch import Tensor
from torchvision import transforms as T

from clipkit import TextEncoder, load_clip
from dassl.utils import InputError
from dassl.utils.console import tolerant_console
from dassl.utils.ends import one_sentence
from dassl.utils.images import read_image

from .clip_trainer import MEAN, STD
from .photo_data import FOLDER, IMAGES, SIDE, SPLIT, class_name, is_left_out

_PERMUTATIONS = 20_000


def permuted(right: Tensor, generator: torch.Generator) -> float:
    """Share of random exchanges of the classes' names that do at least as well, in the mean over classes.

    right [C, C]: share of class i's images that are taken for class j. Unlike a binomial test it allows for a model
    that answers some classes more often than others.
    """
    count = len(right)
    found = right.diagonal().mean()
    draws = torch.stack([torch.randperm(count, generator=generator) for _ in range(_PERMUTATIONS)])
    by_chance = right[torch.arange(count), draws].mean(1)
    return (int((by_chance >= found - 1e-9).sum()) + 1) / (_PERMUTATIONS + 1)


@torch.no_grad()
def check(root: Path, part: str, weights: str) -> dict[str, str]:
    """Lines of the printed table, for the images of `part` ("val" or "test") of CoOp's split."""
    folder = root / FOLDER
    split = folder / SPLIT
    if not split.is_file():
        raise InputError(f"There is no {split}: give the folder that holds {FOLDER} (--root)")
    items = json.loads(split.read_text(encoding="utf-8"))[part]
    clip = load_clip("Embedded", weights)
    transform = T.Compose([T.Resize(SIDE, T.InterpolationMode.BICUBIC), T.CenterCrop(SIDE), T.ToTensor()])
    names = {label: class_name(written) for _, label, written in items}
    texts = TextEncoder(clip).encode_texts([f"a photo of a {names[label]}." for label in sorted(names)])
    features = []
    for low in range(0, len(items), 256):
        files = [folder / IMAGES / file for file, _, _ in items[low : low + 256]]
        pictures = torch.stack([transform(read_image(file)) for file in files])
        features.append(clip.encode_image((pictures - MEAN) / STD))
    scores = F.normalize(torch.cat(features), dim=-1) @ F.normalize(texts, dim=-1).t()
    place = {label: i for i, label in enumerate(sorted(names))}
    truth = torch.tensor([place[label] for _, label, _ in items])
    left = torch.tensor([is_left_out(label) for label in sorted(names)])
    lines = {f"all {len(names)} classes": f"{100 * (scores.argmax(1) == truth).float().mean():.1f} %"}
    for kind, mine in (("photographs seen in training", ~left), ("left out of training", left)):
        among = mine.nonzero()[:, 0]
        rows = mine[truth]
        answer = among[scores[rows][:, among].argmax(1)]
        hits, count = int((answer == truth[rows]).sum()), int(rows.sum())
        line = f"{100 * hits / count:.1f} % ({hits} of {count}) among these {len(among)} names"
        if mine is left:
            confusion = torch.zeros(len(names), len(names)).index_put_(
                (truth[rows], answer), torch.ones(count), accumulate=True
            )[among][:, among]
            shares = confusion / confusion.sum(1, keepdim=True).clamp_min(1)
            p = binomtest(hits, count, 1 / len(among), alternative="greater").pvalue
            exchanged = permuted(shares, torch.Generator().manual_seed(0))
            line += f"; chance {100 / len(among):.1f} %, p {p:.1g}; names exchanged at random, p {exchanged:.1g}"
        lines[kind] = line
    return lines


@one_sentence()
def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Zero-shot accuracy of the embedded CLIP on Caltech101's photographs.")
    parser.add_argument("--root", type=Path, default=Path("data"), help="folder of caltech-101")
    parser.add_argument("--split", choices=("val", "test"), default="val", help="images of CoOp's split")
    parser.add_argument("--weights", default="", help="another clip.safetensors (default: the shipped one)")
    args = parser.parse_args(argv)
    for kind, line in check(args.root, args.split, args.weights).items():
        print(f"{kind}: {line}")  # noqa: T201


if __name__ == "__main__":
    tolerant_console()
    sys.exit(main())
