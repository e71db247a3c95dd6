"""Plots confusion matrices of the test set (Fig. 3 of the DP-SEP paper)."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from . import figures

NAMED, NUMBERED = 40, 10  # largest numbers of classes for names on the axes, and for numbers in the cells


def plot(panels: dict[tuple[str, str], tuple[Tensor, list[str]]], folder: Path) -> list[Path]:
    """Draw {(setting, method): ([C, C] counts, class names)} as confusion.png and .pdf, and return the files.

    Rows are true classes; a cell is the share of its row in percent.
    """
    most = max(len(names) for _, names in panels.values())
    side = max(2.6, min(6.0, (0.26 if most <= NUMBERED else 0.13) * most + 0.9))
    figure, axes = figures.grid(len(panels), most=max(1, min(4, int(12 / side))), width=side, height=side)
    titles = []
    for ax, ((setting, method), (counts, names)) in zip(axes, panels.items(), strict=True):
        share = 100 * counts / counts.sum(1, keepdim=True).clamp_min(1)
        image = ax.imshow(share.numpy(), cmap="viridis", vmin=0, vmax=100, interpolation="nearest")
        accuracy = 100 * counts.trace().item() / counts.sum().item()
        titles.append((setting, f"{method}, {accuracy:.1f}% right"))
        ax.spines[["top", "right"]].set_visible(True)
        ticks = range(len(names)) if len(names) <= NAMED else []
        size = 6 if len(names) > 20 else 7
        ax.set_xticks(ticks, [names[i] for i in ticks], rotation=90, fontsize=size)
        ax.set_yticks(ticks, [names[i] for i in ticks], fontsize=size)
        ax.set(xlabel="predicted", ylabel="true")
        if len(names) <= NUMBERED:
            _numbers(ax, share)
    figures.titles(figure, axes, titles)
    figure.colorbar(image, ax=axes, shrink=0.6, aspect=30, label="share of the true class, %")
    return figures.save(figure, folder, "confusion")


def _numbers(ax, share: Tensor) -> None:
    """Write the percentage into each cell, except where it rounds to 0."""
    for i, row in enumerate(share.tolist()):
        for j, value in enumerate(row):
            if round(value):
                colour = "black" if value > 60 else "white"
                ax.text(j, i, f"{value:.0f}", ha="center", va="center", fontsize=5.5, color=colour)
