"""Plots base, new and their harmonic mean: a panel for each dataset, a row for each method, on shared axes."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dassl.utils import atomic_path
from dassl.utils.spread import deviation

from ..reading.order import method_order
from . import figures
from .base_new import Accuracies, Line, lines
from .looks import looks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST = 3  # panels in a row
NOTE = "Bars: ± one sample standard deviation over seeds; small dots: the single seeds"


def plot(found: Accuracies, file: Path) -> None:
    """Draw the table as PNG, PDF or SVG, after the file's ending: averages over datasets last."""
    made = lines(found)
    panels: dict[str, list[Line]] = {}
    for line in made:
        panels.setdefault(line.dataset, []).append(line)
    methods = sorted({line.method for line in made}, key=method_order, reverse=True)
    figure, axes = figures.grid(
        len(panels), most=MOST, width=3.0, height=0.75 + 0.19 * len(methods), sharex=True, sharey=True
    )
    for ax, (dataset, own) in zip(axes, panels.items(), strict=True):
        rows(ax, {line.method: (list(line.base.values()), list(line.new.values()), line) for line in own}, methods)
        ax.set_title(dataset)
    for ax in axes[-min(MOST, len(axes)) :]:
        ax.set_xlabel("accuracy, %")
        ax.tick_params(labelbottom=True)
    key(figure)
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(file) as temporary:
        figure.savefig(temporary, dpi=150, format=file.suffix[1:])
    figures.pyplot().close(figure)


def rows(ax: Axes, found: dict[str, tuple[Sequence[float], Sequence[float], Line]], methods: Sequence[str]) -> None:
    """Draw {method: (base, new, their line)} in the panel, the last of `methods` on top."""
    look = looks(sorted(methods, key=method_order))
    for height, method in enumerate(methods):
        if method not in found:
            continue
        base, new, line = found[method]
        colour = look[method].style()["color"]
        means = line.means or (statistics.fmean(base), statistics.fmean(new))
        ax.plot(means, [height, height], color=colour, linewidth=1, alpha=0.35, zorder=1)
        for mean, values, mark in zip(means, (base, new), "^v", strict=True):
            spread = deviation(values) if len(values) > 1 else None
            style = {"fmt": mark, "color": colour, "markersize": 4.5, "capsize": 2, "linewidth": 1, "zorder": 2}
            ax.errorbar(mean, height, xerr=spread, **style)
            figures.scatter(ax, height, values, "black", across=True)
        ax.plot(line.hm, height, "o", color=colour, markeredgecolor="black", markersize=5, zorder=3)
    ax.set_yticks(range(len(methods)), methods)
    ax.set_ylim(-0.6, len(methods) - 0.4)
    ax.grid(axis="x", alpha=0.3)


def key(figure: Figure, note: str = NOTE) -> None:
    """The legend of the marks, and what the bars are."""
    from matplotlib.lines import Line2D

    marks = (("^", "base classes"), ("v", "new classes"), ("o", "harmonic mean"))
    handles = [Line2D([], [], marker=mark, linestyle="", color="#505050", markersize=5) for mark, _ in marks]
    figures.legend(figure, handles, [text for _, text in marks])
    figures.tell(figure, note)
