"""`python -m datasets noise`: writes the noise manifest of a dataset and plots its transition matrix."""

from __future__ import annotations

import argparse
import sys
from contextlib import redirect_stdout
from pathlib import Path

from tabulate import tabulate

from dassl.utils import InputError, atomic_path
from dassl.utils.screen import Screen

from ..noise.manifest import Manifest
from ..noisy import TYPES, make_manifest
from ..reading.catalog import find, make_cfg
from .console import say

TYPES_TOLD = f"{', '.join(TYPES)} (default: sym_other)"


def add_command(commands: argparse._SubParsersAction) -> argparse.ArgumentParser:
    text = "make label noise: a manifest and its transition matrix"
    parser = commands.add_parser("noise", help=text, description=__doc__, formatter_class=Screen)
    parser.add_argument("name", metavar="NAME", help="YAML stem (oxford_pets) or registered name (OxfordPets)")
    parser.add_argument("--type", default="sym_other", choices=TYPES, metavar="TYPE", help=TYPES_TOLD)
    parser.add_argument("--rate", type=float, nargs="+", default=[0.5], help="share of wrong labels (default: 0.5)")
    parser.add_argument("--root", default="data", help="folder that holds the datasets (default: data)")
    parser.add_argument("--shots", type=int, default=16, help="images per class; -1: all (default: 16)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the few-shot sample (default: 1)")
    parser.add_argument("--noise-seed", type=int, default=-1, help="seed of the noise (default: --seed)")
    parser.add_argument("--subsample", choices=("all", "base", "new"), default="all", help="classes (default: all)")
    parser.add_argument(
        "--feature", default="pixel64", choices=("pixel64", "clip_vitb32"), help="image features of idn"
    )
    parser.add_argument("--output", default="", metavar="FOLDER", help="default: the dataset's own folder")
    parser.add_argument("--no-plot", action="store_true", help="write the manifest only")
    return parser


def run(args: argparse.Namespace) -> int:
    """Writes a manifest and a plot for each rate, and prints a table. Returns the exit code."""
    entry = find(args.name)
    rows = []
    for rate in args.rate:
        cfg = make_cfg(entry, args.root, args.shots, args.seed, args.subsample)
        cfg.defrost()
        noise = {"TYPE": args.type, "RATE": rate, "SEED": args.noise_seed, "MANIFEST": ""}
        cfg.DATASET.NOISE = type(cfg)(noise | {"IDN": type(cfg)({"FEATURE": args.feature, "STD": 0.1, "TEMP": 1.0})})
        with redirect_stdout(sys.stderr):  # the log
            dataset = entry.loader(cfg)
        manifest = make_manifest(cfg, dataset, getattr(dataset, "image_dir", ""))
        file = manifest.file(Path(args.output) / entry.stem if args.output else dataset.dataset_dir)
        try:
            manifest.write(file)
            if not args.no_plot:
                draw(manifest, file.with_suffix(".png"))
        except OSError as error:
            raise InputError(f"{file} cannot be written ({error.strerror}); give --output.") from error
        stats = manifest.stats()
        rows.append([args.type, rate, stats["n"], stats["flipped"], stats["realised_rate"], str(file)])
    say(tabulate(rows, ["type", "rate", "images", "wrong", "realised", "manifest"], floatfmt=("", "g", "", "", ".3f")))
    return 0


def draw(manifest: Manifest, file: Path) -> None:
    """The transition matrix: a row a true class, shares of its images by observed class."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    counts = manifest.transitions()
    shares = [[x / max(1, sum(row)) for x in row] for row in counts]
    size = len(counts)
    side = max(4.0, min(9.0, 0.14 * size + 2.4))
    figure, axes = plt.subplots(figsize=(side + 0.8, side), layout="constrained")
    image = axes.imshow(shares, cmap="viridis", vmin=0, vmax=1, interpolation="nearest")
    if size <= 40:
        axes.set_xticks(range(size), manifest.classnames, rotation=90, fontsize=6)
        axes.set_yticks(range(size), manifest.classnames, fontsize=6)
    axes.set(xlabel="observed class", ylabel="true class")
    noise, stats = manifest.noise, manifest.stats()
    axes.set_title(
        f"{manifest.dataset}, {noise['type']} at {noise['rate']:g}: {stats['flipped']} of {stats['n']} labels wrong",
        fontsize=9,
    )
    figure.colorbar(image, ax=axes, shrink=0.8, label="share of the true class's images")
    with atomic_path(file) as temporary:
        figure.savefig(temporary, dpi=150, format=file.suffix[1:])
    plt.close(figure)
