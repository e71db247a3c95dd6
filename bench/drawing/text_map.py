"""Plots learned text features in two dimensions (Fig. 4 of the DP-SEP paper), by UMAP if installed, else by t-SNE."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
from torch import Tensor

from . import figures
from .labels import place_labels
from .looks import COLOURS

MARKS = (("o", COLOURS[0]), ("X", COLOURS[1]))  # positive (or only) polarity, negative one
NAMED = 40  # largest number of classes whose names are written


def project(features: np.ndarray, seed: int = 0) -> np.ndarray:
    """Project normalised features [N, d] to [N, 2] by cosine distances; the result depends on the seed alone.

    Fewer than four points are projected by PCA.
    """
    seed %= 2**32  # the range of seeds of both packages
    if len(features) < 4:
        from sklearn.decomposition import PCA

        return np.pad(PCA(1).fit_transform(features), ((0, 0), (0, 1)))
    if find_spec("umap"):
        from umap import UMAP

        neighbours = min(15, len(features) - 1)
        start = "spectral" if len(features) > 10 else "random"  # a spectral start needs more points than dimensions
        made = UMAP(n_neighbors=neighbours, min_dist=0.3, metric="cosine", random_state=seed, n_jobs=1, init=start)
        return made.fit_transform(features)
    from sklearn.manifold import TSNE

    # The perplexity must be well below the number of points; otherwise each point is a neighbour of all others.
    perplexity = min(30.0, max(2.0, (len(features) - 1) / 3))
    made = TSNE(perplexity=perplexity, metric="cosine", init="pca", learning_rate="auto", random_state=seed)
    return made.fit_transform(features)


def method_name() -> str:
    return "UMAP" if find_spec("umap") else "t-SNE"


def spread(features: Tensor) -> float:
    """The mean cosine distance between two classes, before the projection."""
    cosines = features @ features.t()
    count = len(features)
    return 1 - ((cosines.sum() - cosines.trace()) / (count * (count - 1))).item()


def plot(
    panels: dict[tuple[str, str, int], tuple[dict[str, Tensor], list[str]]], folder: Path, seed: int = 0
) -> list[Path]:
    """Draw {(setting, method, run's seed): ({polarity: [C, d]}, class names)} as text_map.png and .pdf.

    Each run has a panel; two polarities share one projection. Returns the files.
    """
    most = max(len(names) for _, names in panels.values())
    side = 2.6 if most <= 12 else 3.6
    figure, axes = figures.grid(len(panels), most=4 if most <= 12 else 3, width=side, height=side + 0.2)
    marks, placed, titles = {}, [], []
    for ax, ((setting, method, run_seed), (text, names)) in zip(axes, panels.items(), strict=True):
        points = project(np.concatenate([z.numpy() for z in text.values()]), seed)
        distances = []
        for (polarity, z), (mark, colour), own in zip(text.items(), MARKS, np.split(points, len(text)), strict=False):
            dots = ax.scatter(*own.T, s=16, marker=mark, color=colour, linewidths=0)
            marks.setdefault("negative prompts" if polarity == "negative" else "positive, or only, prompts", dots)
            distances.append(f"{spread(z):.3f}")
        titles.append((setting, f"{method}, seed {run_seed}\nmean cosine distance {' and '.join(distances)}"))
        ax.set(xticks=[], yticks=[])
        ax.margins(0.18)
        ax.spines[["top", "right"]].set_visible(True)
        if len(names) <= NAMED:
            placed.append((ax, points, names * len(text)))
    figures.titles(figure, axes, titles, f"Text features of the classes, {method_name()} with seed {seed}")
    if len(marks) > 1:
        figures.legend(figure, list(marks.values()), list(marks))
    figure.canvas.draw()  # names are placed when the panels have their final size
    figure.set_layout_engine("none")
    for ax, points, names in placed:
        place_labels(ax, points, names)
    return figures.save(figure, folder, "text_map")
