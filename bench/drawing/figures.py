"""Shared style, layout and saving of figures for papers; each is a PNG and a PDF whose text is selectable."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from dassl.utils import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LOOK = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.4,
    "lines.markersize": 4,
    "pdf.fonttype": 42,
    "figure.constrained_layout.use": True,
}


def pyplot() -> ModuleType:
    """matplotlib.pyplot with the style `LOOK`, without a display."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    plt.rcParams.update(LOOK)
    logging.getLogger("fontTools").setLevel(logging.WARNING)  # it logs every glyph of a PDF
    return plt


def grid(count: int, most: int = 4, width: float = 2.3, height: float = 2.1, **kwargs: object) -> tuple:
    """(figure, `count` axes) in rows of at most `most` and nearly equal length. width, height: of a panel in inches."""
    rows = -(-count // most)
    columns = -(-count // rows)
    size = (max(3.4, width * columns), height * rows)
    figure, axes = pyplot().subplots(rows, columns, figsize=size, squeeze=False, **kwargs)
    for ax in axes.flat[count:]:
        ax.remove()
    return figure, list(axes.flat[:count])


def titles(figure: Figure, axes: Sequence, panels: Sequence[tuple[str, str]], about: str = "", note: str = "") -> None:
    """Set the titles of panels (setting, own title). If all have the same setting, it is the title of the figure.

    note: what lines, dots and bars are.
    """
    shared = len({setting for setting, _ in panels}) == 1
    for ax, (setting, own) in zip(axes, panels, strict=True):
        ax.set_title(own if shared else f"{own}\n{setting}")
    above = ", ".join(filter(None, (about, panels[0][0] if shared else "")))
    above = "\n".join(filter(None, (above, note)))
    if above:
        figure.suptitle(above, fontsize=9)


def tell(figure: Figure, note: str) -> None:
    """Write above all panels what lines, dots and bars are."""
    figure.suptitle(note, fontsize=7.5, color="#404040", x=0.01, ha="left")


def scatter(ax: Axes, x: float, values: Sequence[float], colour: str, across: bool = False) -> None:
    """Each seed's value at x as a small dot; across: the values go to the right, and x is the height."""
    if len(values) > 1:
        places = [x] * len(values)
        ax.scatter(*((values, places) if across else (places, values)), s=5, color=colour, alpha=0.55, linewidths=0)


def legend(figure: Figure, lines: Sequence, labels: Sequence[str]) -> None:
    """Add a legend below all panels, in as many columns as fit, and increase the figure's height by the legend's."""
    for columns in range(min(6, len(labels)), 0, -1):
        made = figure.legend(lines, labels, loc="outside lower center", ncols=columns, handlelength=2.6)
        extent = made.get_window_extent(figure.canvas.get_renderer())
        if columns == 1 or extent.width < 0.98 * figure.bbox.width:
            figure.set_size_inches(figure.get_figwidth(), figure.get_figheight() + extent.height / figure.dpi)
            return
        made.remove()


def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write `name`.png and `name`.pdf, atomically and without a date, and close the figure. Returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{name}.png", folder / f"{name}.pdf"]
    for file in files:
        dated = {"CreationDate": None} if file.suffix == ".pdf" else {}
        with atomic_path(file) as temporary:
            figure.savefig(temporary, dpi=200, format=file.suffix[1:], metadata=dated)
    pyplot().close(figure)
    return files
