"""Plots accuracy over eps and over steps: panels are datasets and attacks, colours methods, line styles modes."""

from __future__ import annotations

import statistics
from pathlib import Path

from dassl.utils.spread import deviation

from ..drawing import figures
from ..drawing.plots import styles
from .adversarial_tables import Found, curves

LINES = {"transfer": "--", "white-box": "-", "adaptive": "-"}


def plot(found: Found, folder: Path) -> list[Path]:
    """Draw the plots and return their files. Lines are means, bands one sample standard deviation over seeds."""
    made = []
    for index, name, axis in ((0, "eps", "eps, in 1/255"), (1, "steps", "steps of the attack")):
        panels = {}
        for dataset in found.datasets:
            for attack in found.attacks:
                lines = _lines(found, dataset, attack, index)
                if lines:
                    panels[dataset, attack] = lines
        if panels:
            made += _draw(found, panels, axis, folder, f"accuracy_{name}")
    return made


def _lines(found: Found, dataset: str, attack: str, index: int) -> dict[tuple[str, str], dict]:
    """{(method, name of the mode): {x: accuracies}} of the lines with at least two points."""
    every = {
        (method, kind): curves(found, method, dataset, attack, kind)[index]
        for method in found.methods
        for kind in found.kinds
    }
    return {line: points for line, points in every.items() if len(points) > 1}


def _draw(found: Found, panels: dict, axis: str, folder: Path, name: str) -> list[Path]:
    look = styles(list(found.methods))
    palette = figures.pyplot().rcParams["axes.prop_cycle"].by_key()["color"]
    # methods without training share a grey dotted line elsewhere; here several of them are compared
    grey = [m for m in found.methods if not look[m]["marker"]]
    own = {m: {"color": "#707070" if i == 0 else palette[i % len(palette)]} for i, m in enumerate(grey)}
    figure, axes = figures.grid(len(panels), most=3, width=2.9, height=2.4)
    handles = {}
    for ax, ((dataset, attack), lines) in zip(axes, panels.items(), strict=True):
        for number, ((method, kind), points) in enumerate(lines.items()):
            xs = sorted(points)
            means = [statistics.fmean(points[x]) for x in xs]
            spreads = [deviation(points[x]) for x in xs]
            style = {**look[method], **own.get(method, {}), "linestyle": LINES[kind]}
            style["marker"] = style["marker"] or ".x+12348"[grey.index(method) % 8]
            size = 3.5 + 4.0 * (1 - number / len(lines))  # first lines have larger marks, so that equal lines all show
            (line,) = ax.plot(xs, means, markersize=size, **style)
            low, high = ([m + sign * s for m, s in zip(means, spreads, strict=True)] for sign in (-1, 1))
            ax.fill_between(xs, low, high, color=style["color"], alpha=0.12, linewidth=0)
            handles.setdefault(f"{method}, {kind}", line)
        ax.set(title=f"{dataset}, {attack}", xlabel=axis, ylim=(-3, 103))
        if name.endswith("steps"):
            ticks = sorted({x for points in lines.values() for x in points})
            ax.set_xscale("log")
            ax.set_xticks(ticks, [str(x) for x in ticks])
            ax.minorticks_off()
        ax.grid(axis="y", alpha=0.3)
    axes[0].set_ylabel("accuracy, %")
    figures.legend(figure, list(handles.values()), list(handles))
    return figures.save(figure, folder, name)
