"""`python -m datasets corrupt`: corrupts a dataset's test images, once for all methods; or draws all corruptions."""

from __future__ import annotations

import argparse
import sys
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
from tabulate import tabulate

from dassl.utils import InputError, atomic_path

from ..attacked.pictures import square_picture
from ..corrupted import add_corruption_defaults
from ..corruption.recipe import CORRUPTIONS, SEVERITIES, corrupt
from ..corruption.sets import CorruptedSet, clean_picture, make_set
from ..embedded_sets import EmbeddedSet
from ..reading.catalog import find, make_cfg
from .console import say

FIFTEEN = [name for name, kind in CORRUPTIONS.items() if kind.group != "extra"]


def add_command(commands: argparse._SubParsersAction) -> argparse.ArgumentParser:
    parser = commands.add_parser("corrupt", help="make corrupted test sets, or a picture of all", description=__doc__)
    parser.add_argument("name", metavar="DATASET", help="YAML stem (oxford_pets) or registered name (OxfordPets)")
    parser.add_argument("--root", default="data", help="folder that holds the datasets (default: data)")
    parser.add_argument(
        "--corruptions", nargs="+", choices=(*CORRUPTIONS, "all"), default=["all"], metavar="NAME",
        help=f"of {', '.join(CORRUPTIONS)} (default: all, the first 15)",
    )  # fmt: skip
    parser.add_argument("--severities", nargs="+", type=int, choices=SEVERITIES, default=[*SEVERITIES])
    parser.add_argument("--size", type=int, default=0, help="pixels of a side (default: 224; 48 for embedded datasets)")
    parser.add_argument("--split", choices=("test", "val"), default="test", help="default: test")
    parser.add_argument("--subsample", choices=("all", "base", "new"), default="all", help="classes (default: all)")
    parser.add_argument("--shots", type=int, default=-1, help="shots of the run, on which val depends (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="of the random numbers (default: 0)")
    parser.add_argument("--store", choices=("raw", "png"), default="raw", help="default: raw")
    parser.add_argument("--dir", default="", help="folder of the sets (default: <root>/corrupted)")
    parser.add_argument("--sheet", default="", metavar="FILE", help="draw all on the first image, and make no set")
    return parser


def run(args: argparse.Namespace) -> int:
    """Makes the sets, or with --sheet the figure, and prints a table. Returns the exit code."""
    entry = find(args.name)
    cfg = make_cfg(entry, args.root, args.shots, half=args.subsample)
    cfg.defrost()
    add_corruption_defaults(cfg)
    size = args.size or (48 if issubclass(entry.loader, EmbeddedSet) and not args.sheet else 224)
    if not 16 <= size <= 1024:
        raise InputError(f"--size is {size}, but must be from 16 to 1024 pixels.")
    cfg.INPUT.SIZE, cfg.INPUT.INTERPOLATION = (size, size), "bicubic"
    given = cfg.TEST.CORRUPTION
    given.SEED, given.STORE, given.DIR = args.seed, args.store, args.dir
    with redirect_stdout(sys.stderr):  # the log
        dataset = entry.loader(cfg)
    if args.sheet and Path(args.sheet).suffix not in (".png", ".jpg", ".pdf", ".svg"):
        raise InputError(f"--sheet is {args.sheet}, but must end in .png, .jpg, .pdf or .svg.")
    if args.sheet:
        picture = clean_picture((dataset.test or dataset.train_x)[0], square_picture(size))
        draw_sheet(picture, Path(args.sheet), args.seed)
        say(f"{args.sheet}: {len(CORRUPTIONS)} corruptions at severities 1 to 5")
        return 0
    rows = []
    for name in dict.fromkeys(x for word in args.corruptions for x in (FIFTEEN if word == "all" else [word])):
        for severity in args.severities:
            given.NAME, given.SEVERITY = name, severity
            found = CorruptedSet(make_set(cfg, dataset, args.split))
            rows.append([name, severity, len(found), found.totals["mean_levels"], found.key[:12], str(found.folder)])
    say(tabulate(rows, ["corruption", "severity", "images", "mean change, levels", "key", "folder"], floatfmt=".1f"))
    return 0


def draw_sheet(picture: np.ndarray, file: Path, seed: int = 0) -> None:
    """A row for each corruption: the picture, uint8 [H, W, 3], then its severities 1 to 5; in two columns of rows."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    names, each = list(CORRUPTIONS), 1 + len(SEVERITIES)
    deep = -(-len(names) // 2)
    figure, axes = plt.subplots(deep, 2 * each + 1, figsize=(2 * each + 0.3, deep + 0.3), layout="constrained")
    for axis in axes.flat:
        axis.axis("off")
    for i, name in enumerate(names):
        start = (each + 1) * (i // deep)
        shown = [picture, *(corrupt(picture, name, severity, seed) for severity in SEVERITIES)]
        for j, one in enumerate(shown):
            axes[i % deep][start + j].imshow(one, interpolation="nearest")
        axes[i % deep][start].set_title(name.replace("_", " "), fontsize=8, loc="left")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(file) as temporary:
            figure.savefig(temporary, dpi=90, format=file.suffix[1:])
    except OSError as error:
        raise InputError(f"{file} cannot be written ({error.strerror}); give another --sheet.") from error
    finally:
        plt.close(figure)
