"""Places names beside the points of a scatter plot without overlaps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DIRECTIONS = tuple((math.cos(a), math.sin(a)) for a in np.linspace(0, 2 * math.pi, 16, endpoint=False))
DISTANCES = (5, 9, 14, 20, 28, 38)  # points


def place_labels(ax: Axes, points: np.ndarray, names: Sequence[str], size: float = 6) -> None:
    """Write each name near its point ([N, 2]), at the nearest place that covers no other name and no point.

    A thin line connects a point with a name that is not beside it. A name without a free place is put beside its point.
    The axes must have their final limits and position.
    """
    renderer = ax.figure.canvas.get_renderer()
    pixels = ax.transData.transform(points)
    scale = ax.figure.dpi / 72
    dot = 3.0 * scale
    frame = ax.get_window_extent(renderer).padded(-2 * scale)
    taken = [(x - dot, y - dot, x + dot, y + dot) for x, y in pixels]
    for (x, y), (px, py), name in zip(points, pixels, names, strict=True):
        label = ax.annotate(name, (x, y), xytext=(0, 0), textcoords="offset points", fontsize=size)
        extent = label.get_window_extent(renderer)
        w, h = extent.width, extent.height
        best = None
        for away in DISTANCES:
            for dx, dy in DIRECTIONS:
                # the box's nearest edge lies `away` from the point
                left = px + away * scale * dx - w / 2 + dx * w / 2
                bottom = py + away * scale * dy - h / 2 + dy * h / 2
                box = (left, bottom, left + w, bottom + h)
                inside = frame.x0 <= box[0] and box[2] <= frame.x1 and frame.y0 <= box[1] and box[3] <= frame.y1
                if inside and not any(_meet(box, other) for other in taken):
                    best = box, away
                    break
            if best:
                break
        box, away = best or ((px + dot, py, px + dot + w, py + h), 0)
        label.set_position(((box[0] - px) / scale, (box[1] - py) / scale))
        taken.append(box)
        if away > DISTANCES[1]:
            centre = ax.transData.inverted().transform(((box[0] + box[2]) / 2, (box[1] + box[3]) / 2))
            ax.plot([x, centre[0]], [y, centre[1]], color="#b0b0b0", linewidth=0.4, zorder=0, marker="")


def _meet(a: tuple, b: tuple) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
