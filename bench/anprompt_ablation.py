"""ANPrompt's ablation (Table 4 of the paper): text noise, weak alignment loss and anti-noise prompts, on or off.

python -m bench.anprompt_ablation --datasets digits textures --seeds 1 2 3

Prints base, new and HM of each row as measured, averaged over the datasets, with the spread over seeds of that average.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from tabulate import tabulate

from runs.protocols import Settings

from .base2new import jobs, run_all
from .table import harmonic_mean, read_by_seed

N = "TRAINER.ANPROMPT."
# Row 000 is the code base that ANPrompt extends, see docs/anprompt.md.
BASELINE = (f"{N}ROBUST_LOGITS", "rep", f"{N}CE_MODE", "separate", f"{N}NRVPP_PROJ", "learned_random")
SWITCHES = ("TEXT_NOISE", "WA_LOSS", "ANTI_PROMPT")
ROWS = ("000", "010", "001", "110", "011", "101", "111")


def row_pairs(row: str) -> tuple[str, ...]:
    """Config pairs of a row such as "101"."""
    pairs = [x for name, bit in zip(SWITCHES, row, strict=True) for x in (N + name, str(bit == "1"))]
    return (*pairs, *(BASELINE if row == "000" else ()))


def average_by_seed(folder: Path) -> dict[int, tuple[float, float]]:
    """{seed: (base, new)}, each the mean over datasets."""
    values: dict[int, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for (_, _, seed, part), accuracy in read_by_seed(folder).items():
        values[seed][part].append(accuracy)
    return {seed: (statistics.fmean(v["base"]), statistics.fmean(v["new"])) for seed, v in sorted(values.items())}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--datasets", nargs="+", default=["digits", "textures", "letters", "objects"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="runs side by side")
    parser.add_argument("--root", default=os.environ.get("DATA", "data"))
    parser.add_argument("--output", default="output/ablation/anprompt")
    args = parser.parse_args(argv)
    lines, failures = [], []
    for row in ROWS:
        folder = Path(args.output) / row
        settings = Settings.from_environment(os.environ, list(row_pairs(row)))
        settings = replace(settings, data=args.root, output=str(folder))
        failures += [
            f"row {row}: {f}" for f in run_all(jobs(["ANPrompt"], args.datasets, args.seeds), settings, args.jobs)
        ]
        seeds = average_by_seed(folder)
        if seeds:
            bases, news = zip(*seeds.values(), strict=True)
            hms = [harmonic_mean(b, n) for b, n in seeds.values()]
            marks = ["x" if bit == "1" else "" for bit in row]
            cells = [f"{statistics.fmean(v):.2f} ± {statistics.pstdev(v):.2f}" for v in (bases, news, hms)]
            lines.append([*marks, *cells, len(seeds)])
    print(f"\nANPrompt, mean over {', '.join(args.datasets)}")  # noqa: T201
    print(tabulate(lines, ["text noise", "WA loss", "anti-noise prompts", "Base", "New", "HM", "seeds"]))  # noqa: T201
    for failure in failures:
        print(f"failed: {failure}", file=sys.stderr)  # noqa: T201
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
