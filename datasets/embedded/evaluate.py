"""Measures the numbers of the dataset card and the model card: `python -m datasets.embedded.evaluate`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tabulate import tabulate

from clipkit import load_clip
from dassl.utils.console import tolerant_console
from dassl.utils.ends import one_sentence
from dassl.utils.spread import shown

from .probes import Bench
from .suite import SPECS

HALVES = ("all", "base", "new")
_COLUMNS = ["set", "images", "zero-shot all", "base", "new", "CoOp-4 base", "CoOp-4 new", "CoOp-16 base", "CoOp-16 new",
            "linear probe base"]  # fmt: skip
_ROBUST_COLUMNS = ["set", "CoOp-16 all", "50 % wrong labels", "zero-shot, 200 images", "PGD-10, eps 1/255"]


def spread(values: list[float]) -> str:
    """Mean and sample standard deviation, in percent."""
    return shown(values, 1)


def zero_shot_row(bench: Bench, split: str) -> list[str]:
    return [f"{bench.zero_shot(split, which):.1f}" for which in HALVES]


def coop_row(bench: Bench, seeds: int) -> list[str]:
    """Base and new accuracy with 4 contexts "a photo of a" and 16 random ones, and the linear probe on base."""
    row = []
    for n_ctx, words in ((4, "a photo of a"), (16, None)):
        contexts = [bench.coop("base", seed, n_ctx, words) for seed in range(seeds)]
        row += [spread([bench.test_context(c, which) for c in contexts]) for which in ("base", "new")]
    return [*row, spread([bench.linear_probe("base", seed) for seed in range(seeds)])]


def robust_row(bench: Bench, seeds: int) -> list[str]:
    """CoOp on all classes with clean and half wrong labels; the hand-written prompt before and under PGD."""
    runs = ([bench.coop("all", seed, noise=noise) for seed in range(seeds)] for noise in (0.0, 0.5))
    learned = [spread([bench.test_context(context, "all") for context in contexts]) for contexts in runs]
    clean, attacked = bench.attack(1 / 255)
    return [*learned, f"{clean:.1f}", f"{attacked:.1f}"]


@one_sentence()
def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Measure the embedded CLIP on the embedded sets.")
    parser.add_argument("--root", type=Path, default=Path("data"), help="folder of the sets; made if missing")
    parser.add_argument("--weights", default="", help="another .safetensors file than the shipped one")
    parser.add_argument("--sets", nargs="*", choices=sorted(SPECS), default=list(SPECS), metavar="SET")
    parser.add_argument("--split", choices=("calibration", "test"), default="test",
                        help="calibration: zero-shot on train and val images only")  # fmt: skip
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--zero-shot-only", action="store_true")
    args = parser.parse_args(argv)

    clip_model = load_clip("" if args.weights else "Embedded", args.weights)
    rows, robust = [], []
    for stem in args.sets:
        spec = SPECS[stem]
        test_only = not spec.train
        if args.split == "calibration" and test_only:
            continue
        bench = Bench(clip_model, stem, args.root.resolve())
        row = [spec.name, len(bench.part(args.split).labels), *zero_shot_row(bench, args.split)]
        if args.split == "test" and not args.zero_shot_only and not test_only:
            row += coop_row(bench, args.seeds)
            robust.append([spec.name, *robust_row(bench, args.seeds)])
        rows.append(row)
        sys.stderr.write(f"{spec.name} done\n")
    width = max(len(row) for row in rows)
    sys.stdout.write(tabulate(rows, _COLUMNS[:width], tablefmt="github", disable_numparse=True) + "\n")
    if robust:
        sys.stdout.write("\n" + tabulate(robust, _ROBUST_COLUMNS, tablefmt="github", disable_numparse=True) + "\n")


if __name__ == "__main__":
    tolerant_console()
    sys.exit(main())
