"""Plots curves over the epochs of training: the loss, and how well right and wrong labels are fitted (memorisation)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dassl.utils import InputError
from dassl.utils.spread import deviation

from ..reading.files import DAMAGE, read_json
from . import figures
from .looks import COLOURS
from .multiples import Panel, draw

# Memorisation: (key of curves.json, label, colour, line). For rightly labelled items, noisy and true labels are equal.
LINES = (
    ("noisy_kept", "right labels: fitted", COLOURS[0], "-"),
    ("noisy_flipped", "wrong labels: fitted", COLOURS[1], "--"),
    ("true_flipped", "wrong labels: true class found", COLOURS[2], "-."),
    ("test", "test set", "#000000", ":"),
)


@dataclass(frozen=True)
class Curves:
    """The curves of a run. epochs: from 1. loss: training loss of each epoch. accuracy: {key of LINES: percent of each
    epoch}; may be empty."""

    epochs: list[int]
    loss: list[float]
    accuracy: dict[str, list[float]]


def read_curves(folder: Path, epochs: int) -> Curves:
    """Read curves.json, or the loss alone from the run's tensorboard files. Raises InputError if neither is usable."""
    file = folder / "curves.json"
    if not file.is_file():
        loss = _tensorboard_loss(folder / "tensorboard", epochs)
        return Curves(list(range(1, epochs + 1)), loss, {})
    try:
        found = read_json(file)
        accuracy = {
            key: [math.nan if x is None else float(x) for x in found[key]] for key, *_ in LINES if found.get(key)
        }
        curves = Curves([int(e) for e in found["epochs"]], [float(x) for x in found["train_loss"]], accuracy)
        if {len(curves.epochs)} != {len(curves.loss), *map(len, accuracy.values())}:
            raise ValueError("its curves differ in length")
    except DAMAGE as error:
        raise InputError(f"{file} holds no curves ({type(error).__name__}: {error})") from error
    return curves


def _tensorboard_loss(folder: Path, epochs: int) -> list[float]:
    """The mean loss of each epoch, which is the value at its last step, since values are means so far."""
    if not any(folder.glob("events.*")):
        raise InputError("it has neither curves.json nor tensorboard files")
    try:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    except ImportError:
        raise InputError(
            "it has no curves.json, and tensorboard, which reads its other curves, is not installed"
        ) from None
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    if "train/loss" not in events.Tags()["scalars"]:
        raise InputError("its tensorboard files hold no train/loss")
    at = {event.step: event.value for event in events.Scalars("train/loss")}  # the last value of a repeated step
    steps, odd = divmod(len(at), epochs)
    if odd or sorted(at) != list(range(len(at))):
        raise InputError("its tensorboard files do not hold the same steps for each epoch, and it has no curves.json")
    return [at[(e + 1) * steps - 1] for e in range(epochs)]


def over_seeds(runs: Sequence[Curves], key: str = "") -> tuple[list[int], np.ndarray, np.ndarray]:
    """(epochs, mean, sample standard deviation) over runs of the loss, or of the accuracy `key`, at the epochs that all
    runs have. The deviations of a single run are NaN."""
    common = sorted(set.intersection(*(set(c.epochs) for c in runs)))
    rows = [dict(zip(c.epochs, c.accuracy[key] if key else c.loss, strict=True)) for c in runs]
    values = np.array([[row[e] for e in common] for row in rows])
    return common, values.mean(0), np.array([deviation(column) for column in values.T])


NOTE = "Thick lines: means over seeds; thin lines: the single seeds"


def plot_loss(settings: dict[str, dict[str, list[Curves]]], folder: Path) -> list[Path]:
    """Draw {setting: {method: its runs}} as loss.png and .pdf (Fig. 2 of the DP-SEP paper), a panel a setting."""
    panels = [
        Panel(setting, {method: _by_epoch(runs) for method, runs in methods.items()})
        for setting, methods in settings.items()
    ]
    return figures.save(draw(panels, "epoch", "training loss", NOTE, thin=True, percent=False), folder, "loss")


def _by_epoch(runs: Sequence[Curves]) -> dict[float, list[float]]:
    """{epoch: the runs' losses} at the epochs that all runs have."""
    rows = [dict(zip(c.epochs, c.loss, strict=True)) for c in runs]
    return {e: [row[e] for row in rows] for e in sorted(set.intersection(*(set(row) for row in rows)))}


def plot_memorisation(panels: dict[tuple[str, str], list[Curves]], folder: Path) -> list[Path]:
    """Draw {(setting, method): its runs} as memorisation.png and .pdf, a panel for each, all with the same scale."""
    figure, axes = figures.grid(len(panels), sharey=True)
    lines = {}
    last = max(epoch for runs in panels.values() for c in runs for epoch in c.epochs)
    for ax, runs in zip(axes, panels.values(), strict=True):
        for key, label, colour, dashes in LINES:
            if all(np.isfinite(c.accuracy.get(key, [math.nan])).any() for c in runs):
                epochs, mean, _ = over_seeds(runs, key)
                few = "o" if len(epochs) < 3 else None  # a line of one point is invisible without a mark
                (line,) = ax.plot(epochs, mean, color=colour, linestyle=dashes, marker=few, markersize=4)
                for c in runs if len(runs) > 1 else ():
                    ax.plot(c.epochs, c.accuracy[key], color=colour, linestyle=dashes, linewidth=0.5, alpha=0.5)
                lines.setdefault(label, line)
        _finish(ax)
        ax.set(xlim=(0, last), ylim=(0, 100))
    figures.titles(figure, axes, list(panels), note=NOTE)
    figure.supylabel("accuracy, %", fontsize=8)
    figures.legend(figure, list(lines.values()), list(lines))
    return figures.save(figure, folder, "memorisation")


def _finish(ax) -> None:
    from matplotlib.ticker import MaxNLocator

    ax.set_xlabel("epoch")
    ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    ax.grid(axis="y", alpha=0.3)
