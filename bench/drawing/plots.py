"""Plots a summary: few-shot curves, and base, new and harmonic mean of each method."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dassl.utils import atomic_path
from dassl.utils.counted import counted

from ..reading.layout import dataset_name
from ..reading.order import method_order
from . import figures
from .base_new import Line
from .base_new_plot import key, rows
from .multiples import Panel, draw
from .summary import Summary

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NOTE = "Lines: mean over seeds of the mean over datasets; small dots: the single seeds"


def plot_few_shot(summary: Summary, file: Path) -> None:
    """Draw the mean over datasets against shots, at most `multiples.MOST` methods in colour in each panel."""
    methods = sorted({m for column in summary.few_shot.values() for m in column}, key=method_order)
    shots = list(summary.few_shot)
    lines = {m: {k: list(summary.few_shot[k][m].values()) for k in shots if m in summary.few_shot[k]} for m in methods}
    panel = Panel("", lines, [(k, str(k)) for k in shots])
    about = f"accuracy, %, mean of {_count(summary.datasets.get('few-shot', []))}"
    figure = draw([panel], "training images a class", about, NOTE, log=True)
    _save(figure, file)


def plot_base_new(summary: Summary, file: Path) -> None:
    """Draw a row for each method, the best harmonic mean on top: base, new, and HM with its number."""
    lines = {m: Line("", m, summary.base[m], summary.new[m]) for m in summary.hm}
    methods = sorted(lines, key=lambda m: lines[m].hm)
    figure, (ax,) = figures.grid(1, width=6.0, height=0.9 + 0.22 * len(methods))
    rows(ax, {m: (list(each.base.values()), list(each.new.values()), each) for m, each in lines.items()}, methods)
    for height, method in enumerate(methods):
        ax.annotate(f"{lines[method].hm:.1f}", (1.01, height), xycoords=("axes fraction", "data"), va="center")
    ax.annotate("HM", (1.01, len(methods) - 0.4), xycoords=("axes fraction", "data"), fontweight="bold")
    ax.set_xlabel(f"accuracy, %, mean of {_count(summary.datasets.get('base-to-new', []))}")
    key(figure)
    _save(figure, file)


def plot_all(summary: Summary, folder: Path) -> list[Path]:
    """Draw the plots for which there are results, and return their files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    if summary.hm:
        plot_base_new(summary, folder / "base_new.png")
        files.append(folder / "base_new.png")
    if any(summary.few_shot.values()):
        plot_few_shot(summary, folder / "few_shot.png")
        files.append(folder / "few_shot.png")
    return files


def _count(datasets: Sequence[str]) -> str:
    return dataset_name(datasets[0]) if len(datasets) == 1 else counted(len(datasets), "dataset")


def _save(figure: Figure, file: Path) -> None:
    with atomic_path(file) as temporary:
        figure.savefig(temporary, dpi=150, format=file.suffix[1:])
    figures.pyplot().close(figure)
