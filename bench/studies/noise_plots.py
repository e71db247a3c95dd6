"""Plots accuracy over the rate of wrong labels: a panel for each dataset and noise type, a line for each method."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

from dassl.utils.spread import deviation

from ..drawing import figures
from ..drawing.plots import styles
from .noise_tables import Table


def plot(tables: Sequence[Table], folder: Path, name: str = "noise") -> list[Path]:
    """Draw the plot and return its files. Lines are means, bands one sample standard deviation over seeds."""
    labels = {row: " ".join(filter(None, row)) for table in tables for row in table.values}
    flat = frozenset().union(*(table.untrained for table in tables))
    look = styles([*(labels[r] for r in labels if r not in flat), *(labels[r] for r in labels if r in flat)])
    position = {label: i / len(look) for i, label in enumerate(look)}
    kinds = list(dict.fromkeys(table.kind for table in tables))
    figure, axes = figures.grid(len(tables), most=len(kinds) if len(kinds) > 1 else 4, height=2.2)
    lines = {}
    for ax, table in zip(axes, tables, strict=True):
        for row, by_rate in table.values.items():
            rates = [rate for rate in table.rates if rate in by_rate]
            xs = [100 * rate for rate in rates]
            values = [list(by_rate[rate].values()) for rate in rates]
            means = [statistics.fmean(v) for v in values]
            spreads = [deviation(v) for v in values]
            style = look[labels[row]]
            # first lines have larger marks, so that equal lines all show
            size = 3.5 + 3.0 * (1 - position[labels[row]])
            (line,) = ax.plot(xs, means, markersize=size, **style)
            bands = ([m + sign * s for m, s in zip(means, spreads, strict=True)] for sign in (-1, 1))
            ax.fill_between(xs, *bands, color=style["color"], alpha=0.12, linewidth=0)
            lines.setdefault(labels[row], line)
        ax.set(title=f"{table.name}, {table.kind}", xlabel="wrong labels, %")
        ax.set_xticks([100 * rate for rate in table.rates], [f"{100 * rate:g}" for rate in table.rates])
        low, high = ax.get_ylim()
        ax.set_ylim(max(low, 0), min(high, 100))  # bands may exceed 0 to 100
        ax.grid(axis="y", alpha=0.3)
    for ax in axes[:: len(kinds) if len(kinds) > 1 else 4]:
        ax.set_ylabel("accuracy, %")
    figures.legend(figure, list(lines.values()), list(lines))
    return figures.save(figure, folder, name)
