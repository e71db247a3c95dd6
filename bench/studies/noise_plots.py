"""Plots accuracy over the rate of wrong labels: a panel for each dataset and noise type, a line for each method."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from datasets.noise.names import spoken

from ..drawing import figures
from ..drawing.multiples import Panel, draw
from .noise_tables import Table

NOTE = "Lines: means over seeds; small dots: the single seeds"


def plot(tables: Sequence[Table], folder: Path, name: str = "noise") -> list[Path]:
    """Draw the plot and return its files."""
    panels = []
    for table in tables:
        lines = {
            " ".join(filter(None, row)): {100 * rate: list(by_rate[rate].values()) for rate in by_rate}
            for row, by_rate in table.values.items()
        }
        ticks = [(100 * rate, f"{100 * rate:g}") for rate in table.rates]
        panels.append(Panel(f"{table.name}, {spoken(table.kind)}", lines, ticks))
    return figures.save(draw(panels, "wrong labels, %", "accuracy, %", NOTE), folder, name)
