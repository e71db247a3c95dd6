"""Draws figures, and prints a table, on how methods deal with label noise, from finished runs.

python -m bench.noise_analysis RUN_FOLDER [RUN_FOLDER ...] --output analysis

Training loss, memorisation of wrong labels, confusion matrices of the test set, maps of the learned text features, and
how well losses and the method's own score tell wrong training labels from right ones (ROC, AUC, precision, recall).
Runs of one method, dataset and noise that differ in the seed alone are averaged. If a run lacks the data of a figure,
one sentence says so, and the other figures are drawn. Each is a PNG and a PDF; the tables are curves.md and auc.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from tabulate import tabulate

from dassl.utils import InputError
from dassl.utils.ends import one_sentence
from dassl.utils.progress import progress
from dassl.utils.screen import Screen
from datasets.reading.catalog import quiet
from interop.plugins.loading import load_plugins
from runs.words import check_folder

from ..drawing import confusion, text_map, training_curves
from ..reading.files import write_text
from ..running.trouble import check_output, writing
from . import roc
from .curve_table import NOTE, curve_table
from .noise_evidence import Evidence, grouped, read_curves_alone, read_evidence, tell_apart

CURVES = ("loss", "memorisation")  # what needs no model
FIGURES = (*CURVES, "confusion", "text_map", "roc")


def by_setting(found: Sequence[Evidence], read: Callable[[Evidence], object]) -> dict[str, dict[str, list]]:
    """{setting: {method: [result of `read` for each run]}}, without runs for which `read` gives None."""
    nested: dict[str, dict[str, list]] = {}
    for (setting, method), runs in grouped(e for e in found if read(e) is not None).items():
        nested.setdefault(setting, {})[method] = [read(run) for run in runs]
    return nested


def draw(found: Sequence[Evidence], folder: Path, wanted: Sequence[str], seed: int = 0) -> list[Path]:
    """Draw those of the wanted figures for which the runs have data. Returns the files."""
    files: list[Path] = []
    curves, judgements = by_setting(found, lambda e: e.curves), by_setting(found, lambda e: e.judgement)
    if "loss" in wanted and curves:
        files += training_curves.plot_loss(curves, folder)
    memories = {
        (setting, method): runs
        for setting, methods in curves.items()
        for method, runs in methods.items()
        if all(c.accuracy for c in runs)
    }
    if "memorisation" in wanted and memories:
        files += training_curves.plot_memorisation(memories, folder)
        files.append(folder / "curves.md")
        write_text(files[-1], f"{curve_table(memories, 'github')}\n\n{NOTE}\n")
    matrices = {
        key: (sum(run.confusion for run in runs), runs[0].classnames)
        for key, runs in grouped(e for e in found if e.confusion is not None).items()
    }
    if "confusion" in wanted and matrices:
        files += confusion.plot(matrices, folder)
    texts = {(e.setting, e.method, e.seed): (e.text, e.classnames) for e in found if e.text and len(e.classnames) > 1}
    if "text_map" in wanted and texts:
        files += text_map.plot(texts, folder, seed)
    if "roc" in wanted and judgements:
        files += roc.plot(judgements, folder)
        files.append(folder / "auc.md")
        write_text(files[-1], f"{auc_table(judgements, 'github')}\n\n{roc.NOTE}\n")
    return files


def auc_table(judgements: dict[str, dict[str, list]], form: str) -> str:
    rows = [roc.row(s, method, runs) for s, methods in judgements.items() for method, runs in methods.items()]
    return tabulate(rows, roc.HEADERS, tablefmt=form, disable_numparse=True)


@one_sentence()
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.noise_analysis", description=__doc__, formatter_class=Screen)
    parser.add_argument("folders", nargs="+", metavar="RUN_FOLDER", help="--output-dir of finished runs")
    parser.add_argument("--output", type=Path, default=Path("analysis"), metavar="FOLDER", help="default: analysis")
    parser.add_argument(
        "--figures",
        nargs="+",
        choices=FIGURES,
        default=list(FIGURES),
        metavar="NAME",
        help=f"of {', '.join(FIGURES)} (default: all)",
    )
    parser.add_argument("--root", default="", help="folder of the datasets, if they have moved since the runs")
    parser.add_argument("--map-seed", type=int, default=0, help="seed of the maps of text features")
    parser.add_argument("--plugin", action="append", default=[], metavar="FILE", help="a trainer file from outside")
    args = parser.parse_args(argv)
    check_output(args.output, "--output", folder=True)
    if args.root:
        check_folder(args.root, "--root")
    load_plugins(args.plugin)
    folders = list(dict.fromkeys(args.folders))
    read = read_curves_alone if set(args.figures) <= set(CURVES) else partial(read_evidence, root=args.root)
    with quiet():
        found = [read(folder) for folder in progress(folders, desc="runs")]
    tell_apart(found)
    with writing(args.output, "--output"):
        files = draw(found, args.output, args.figures, args.map_seed)
    judgements = by_setting(found, lambda e: e.judgement)
    if judgements and "roc" in args.figures:
        print(f"{auc_table(judgements, 'simple')}\n\n{roc.NOTE}\n")  # noqa: T201
    for note in (note for each in found for note in each.notes):
        print(note, file=sys.stderr)  # noqa: T201
    if not files:
        raise InputError("These runs have no data for any of the figures; nothing is drawn.")
    print("\n".join(map(str, files)))  # noqa: T201
    return 0
