"""Times the encoders of this checkout beside those of another one, such as that of the revision before a change.

git worktree add --detach ../before REVISION
python -m speed.two_checkouts ../before

Two processes, one in each checkout, do the same work in turn. The times are CPU seconds of the process, which other
work on the machine hardly changes; ratios are medians of pairs. Operations are counted by torch.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

from tabulate import tabulate

from dassl.utils import InputError
from dassl.utils.ends import one_sentence

HERE = Path(__file__).resolve().parents[1]
WORK = ("context, forward and backward", "texts", "image", "prompted image, forward and backward")
# Runs in each checkout: it imports that one's clipkit, and uses only what all revisions have.
WORKER = """
import json, sys, time
import torch
from torch.utils.flop_counter import FlopCounterMode
import clipkit
from clipkit import ContextPrompts, ImageEncoder, TextEncoder, load_clip

backbone, size, classes, images = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
clip = load_clip(backbone)
text, tower = TextEncoder(clip), ImageEncoder(clip)
names = [f"{'small ' * (i % 3)}cat number {i}" for i in range(classes)]
prompts = ContextPrompts(clip, names, 16)
generator = torch.Generator().manual_seed(0)
ctx = (0.02 * torch.randn(16, text.width, generator=generator)).requires_grad_()
image = torch.randn(images, 3, size, size, generator=generator)
deep = {b: (0.02 * torch.randn(4, tower.width, generator=generator)).requires_grad_() for b in (1, 2, 3)}
sentences = [f"a photo of a {name}." for name in names]

def context():
    out = text.encode(prompts.split(ctx))
    out.sum().backward()
    return out

def texts():
    return text.encode_texts(sentences)

def plain():
    with torch.no_grad():
        return tower(image)

def prompted():
    out = tower(image, insert=deep)
    out.sum().backward()
    return out

work = [context, texts, plain, prompted]
for line in sys.stdin:
    task = work[int(line)]
    with FlopCounterMode(display=False) as counter:
        value = float(task().detach().double().sum())
    started = time.process_time()
    task()
    print(json.dumps([time.process_time() - started, counter.get_total_flops(), value]), flush=True)
"""


class Checkout:
    """A process with one checkout's clipkit."""

    def __init__(self, folder: Path, args: argparse.Namespace) -> None:
        if not (folder / "clipkit" / "__init__.py").is_file():
            raise InputError(f"{folder} is no checkout of this project (it has no clipkit/__init__.py).")
        self.folder = folder
        options = [args.backbone, str(args.size), str(args.classes), str(args.images)]
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER, *options],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, number: int) -> tuple[float, int, float]:
        """(CPU seconds, operations, sum of the features) of a piece of `WORK`."""
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None and stdout is not None
        stdin.write(f"{number}\n")
        stdin.flush()
        if not (line := stdout.readline()):
            raise InputError(f"The process in {self.folder} ended; its error is above.")
        seconds, operations, value = json.loads(line)
        return seconds, operations, value

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def measure(other: Path, args: argparse.Namespace) -> list[list]:
    """A row for each piece of `WORK`."""
    theirs = Checkout(other, args)  # first: it may be none
    ours = Checkout(HERE, args)
    rows = []
    try:
        for number, what in enumerate(WORK):
            pairs = [(ours(number), theirs(number)) for _ in range(args.repeats + 1)][1:]
            a, b = (statistics.median(pair[side][0] for pair in pairs) for side in (0, 1))
            ratio = statistics.median(pair[1][0] / pair[0][0] for pair in pairs)
            (_, flops, value), (_, other_flops, other_value) = pairs[0]
            rows.append([what, a, b, ratio, flops / 1e9, other_flops / 1e9, abs(value - other_value)])
    finally:
        ours.end()
        theirs.end()
    return rows


@one_sentence("interrupted")
def run(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path, metavar="FOLDER", help="a checkout of another revision")
    parser.add_argument("--backbone", default="random:ViT-B/16")
    parser.add_argument("--size", type=int, default=224, help="pixels of an image's side")
    parser.add_argument("--classes", type=int, default=20)
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=5, help="timed pairs, after one to warm up")
    args = parser.parse_args(argv)
    headers = ["what", "here, CPU s", "there, CPU s", "there / here", "here, GFLOP", "there, GFLOP", "sums apart"]
    formats = ("", ".3f", ".3f", ".3f", ".2f", ".2f", ".1e")
    print(tabulate(measure(args.other, args), headers, tablefmt="github", floatfmt=formats))


if __name__ == "__main__":
    sys.exit(run())
