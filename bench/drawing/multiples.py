"""Lines of many methods as small multiples: few in colour in each panel, the others in grey, on shared axes."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import figures
from .looks import Look, looks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST = 6  # methods in colour in one panel, beside those without training
ACROSS = 3  # panels in a row
BEHIND = {"color": "#d0d0d0", "linewidth": 0.7, "zorder": 0}


@dataclass(frozen=True)
class Panel:
    """One setting. lines: {label: {x: the seeds' values}}; ticks: (place, text) on the x axis."""

    title: str
    lines: dict[str, dict[float, Sequence[float]]]
    ticks: Sequence[tuple[float, str]] = ()


def groups(look: dict[str, Look]) -> list[list[str]]:
    """The labels that are in colour in one row of panels: even groups, of different colours if possible, each with
    those without training."""
    grey = [label for label, own in look.items() if own.colour < 0]
    learned = [label for label in look if label not in grey]
    count = max(1, -(-len(learned) // MOST))
    size = -(-len(learned) // count)
    made: list[list[str]] = [[] for _ in range(count)]
    for label in learned:
        room = [own for own in made if len(own) < size]
        other = (own for own in room if look[label].colour not in {look[each].colour for each in own})
        next(other, room[0]).append(label)
    return [[*grey, *own] for own in made]


def draw(
    panels: Sequence[Panel], x: str, y: str, note: str, log: bool = False, thin: bool = False, percent: bool = True
) -> Figure:
    """The figure: a row of panels for each group of methods; one setting alone has its groups beside each other.

    x, y: names of the axes. note: what lines and dots are, written above. thin: single seeds are thin lines, not dots.
    """
    labels = list(dict.fromkeys(label for panel in panels for label in panel.lines))
    look = looks(labels)
    of_group = groups(look)
    alone = len(panels) == 1
    shown = [(panel, group) for group in of_group for panel in panels]
    across = min(len(shown), ACROSS) if alone or len(of_group) == 1 else len(panels)
    width = 2.6 if across < 4 else 2.2
    height = 3.0 if alone and len(of_group) > 1 else 2.0  # with a legend below each panel
    figure, axes = figures.grid(len(shown), most=across, width=width, height=height, sharey=True)
    for ax, (panel, group) in zip(axes, shown, strict=True):
        _panel(ax, panel, group, look, thin)
        if log:
            ax.set_xscale("log", base=2)
        if panel.ticks:
            ax.set_xticks([place for place, _ in panel.ticks], [text for _, text in panel.ticks])
            ax.minorticks_off()
        if panel.title:
            ax.set_title(panel.title)
        ax.grid(axis="y", alpha=0.3)
    if percent:
        low, high = axes[0].get_ylim()
        axes[0].set_ylim(max(low, -3), min(high, 103))
    for ax in axes[-across:]:
        ax.set_xlabel(x)
    figure.supylabel(y, fontsize=8)
    _legends(figure, axes, of_group, len(panels), across)
    figures.tell(figure, note)
    return figure


def _panel(ax: Axes, panel: Panel, group: Sequence[str], look: dict[str, Look], thin: bool) -> None:
    for label, points in panel.lines.items():
        xs = sorted(points)
        means = [statistics.fmean(points[x]) for x in xs]
        if label not in group:
            ax.plot(xs, means, **BEHIND)
            continue
        style = look[label].style()
        ax.plot(xs, means, label=label, markevery=max(1, len(xs) // 8), **style)
        seeds = min(len(points[x]) for x in xs)
        for i in range(seeds if thin and seeds > 1 else 0):
            ax.plot(xs, [points[x][i] for x in xs], color=style["color"], linewidth=0.5, alpha=0.5)
        for at in () if thin else xs:
            figures.scatter(ax, at, points[at], style["color"])


def _legends(figure: Figure, axes: Sequence[Axes], of_group: list[list[str]], panels: int, across: int) -> None:
    """One legend below all, or one beside each row; with several groups in one row, one below each panel."""
    if len(of_group) == 1:
        found = {text: line for ax in axes for line, text in zip(*ax.get_legend_handles_labels(), strict=True)}
        figures.legend(figure, list(found.values()), list(found))
        return
    for number in range(len(of_group)):
        own = axes[number * panels : (number + 1) * panels]
        found = {text: line for ax in own for line, text in zip(*ax.get_legend_handles_labels(), strict=True)}
        lines, texts = list(found.values()), list(found)
        if panels == 1:
            below = {"loc": "upper left", "bbox_to_anchor": (-0.02, -0.28), "ncols": 2, "columnspacing": 1.0}
            own[0].legend(lines, texts, fontsize=7, handlelength=2.2, **below)
        else:
            own[-1].legend(lines, texts, fontsize=7, loc="center left", bbox_to_anchor=(1.02, 0.5))
