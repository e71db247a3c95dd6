"""Plots a summary: few-shot curves, and base, new and harmonic mean of each method."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

from dassl.utils import atomic_path
from dassl.utils.counted import counted
from dassl.utils.spread import deviation
from runs.config_names import UNTRAINED

from ..reading.order import method_order
from .summary import Summary
from .table import harmonic_mean

# Okabe and Ito's colours, which can be distinguished with any colour vision; they repeat with other lines and marks.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
ROUNDS = (("-", "osD^vP*"), ("--", "Xhp<>dH"), ("-.", "8+x1234"))


def styles(methods: Sequence[str]) -> dict[str, dict]:
    """{method: colour, line and mark}; a method without training is a grey dotted line."""
    found = {}
    trained = [m for m in methods if m.partition(" (")[0] not in UNTRAINED]
    for i, method in enumerate(trained):
        line, marks = ROUNDS[i // len(COLOURS) % len(ROUNDS)]
        k = i % len(COLOURS)
        found[method] = {"color": COLOURS[k], "linestyle": line, "marker": marks[k]}
    for method in methods:
        found.setdefault(method, {"color": "#707070", "linestyle": ":", "marker": ""})
    return found


def plot_few_shot(summary: Summary, file: Path) -> None:
    """Draw a line for each method: mean over datasets against shots, with a band of one sample deviation over seeds."""
    plt = _pyplot()
    shots = list(summary.few_shot)
    methods = sorted({m for column in summary.few_shot.values() for m in column}, key=method_order)
    look = styles(methods)
    figure, axes = plt.subplots(figsize=(7.6, 4.4), layout="constrained")
    lines, last = {}, {}
    for method in methods:
        points = [(k, list(summary.few_shot[k][method].values())) for k in shots if method in summary.few_shot[k]]
        xs, means = [k for k, _ in points], [statistics.fmean(v) for _, v in points]
        spreads = [deviation(v) for _, v in points]
        style = look[method]
        (lines[method],) = axes.plot(xs, means, linewidth=1.6, markersize=5, **style)
        low, high = ([m + sign * s for m, s in zip(means, spreads, strict=True)] for sign in (-1, 1))
        axes.fill_between(xs, low, high, color=style["color"], alpha=0.1, linewidth=0)
        last[method] = means[-1]
    axes.set_xscale("log", base=2)
    axes.set_xticks(shots, [str(k) for k in shots])
    axes.set_xlabel("training images a class")
    axes.set_ylabel(f"accuracy, %, mean of {_count(summary.datasets.get('few-shot', []))}")
    axes.grid(axis="y", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    order = sorted(last, key=last.get, reverse=True)  # as the lines end
    figure.legend(
        [lines[m] for m in order], order, loc="outside right center", frameon=False, fontsize=8, handlelength=3.2
    )
    _save(figure, file)
    plt.close(figure)


def plot_base_new(summary: Summary, file: Path) -> None:
    """Draw a row for each method, the best harmonic mean on top: base, new, and HM with its number. Bars are ± one
    sample standard deviation over seeds."""
    plt = _pyplot()
    methods = sorted(summary.hm, key=lambda m: _hm(summary, m))
    figure, axes = plt.subplots(figsize=(7.0, 1.3 + 0.32 * len(methods)), layout="constrained")
    series = (("base classes", summary.base, "^", "#D55E00"), ("new classes", summary.new, "v", "#0072B2"))
    for row, method in enumerate(methods):
        ends = [statistics.fmean(values[method].values()) for _, values, *_ in series]
        axes.plot(ends, [row, row], color="#c8c8c8", linewidth=1, zorder=1)
        for label, values, mark, colour in series:
            _point(axes, values[method], row, mark, colour, label if row == 0 else None)
        hm = _hm(summary, method)
        axes.plot(hm, row, "o", color="black", markersize=6, label="harmonic mean" if row == 0 else None, zorder=3)
        axes.annotate(f"{hm:.1f}", (1.01, row), xycoords=("axes fraction", "data"), va="center", fontsize=8)
    axes.annotate("HM", (1.01, len(methods) - 0.4), xycoords=("axes fraction", "data"), fontsize=8, fontweight="bold")
    axes.set_yticks(range(len(methods)), methods)
    axes.set_ylim(-0.6, len(methods) - 0.4)
    axes.set_xlabel(f"accuracy, %, mean of {_count(summary.datasets.get('base-to-new', []))}")
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=3, frameon=False, fontsize=8)
    _save(figure, file)
    plt.close(figure)


def plot_all(summary: Summary, folder: Path) -> list[Path]:
    """Draw the plots for which there are results, and return their files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    if summary.hm:
        plot_base_new(summary, folder / "base_new.png")
        files.append(folder / "base_new.png")
    if any(summary.few_shot.values()):
        plot_few_shot(summary, folder / "few_shot.png")
        files.append(folder / "few_shot.png")
    return files


def _pyplot():
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def _point(axes, values: dict[int, float], row: int, mark: str, colour: str, label: str | None) -> None:
    mean, spread = statistics.fmean(values.values()), deviation(list(values.values()))
    axes.errorbar(
        mean, row, xerr=spread, fmt=mark, color=colour, markersize=6, capsize=2, linewidth=1, label=label, zorder=2
    )


def _hm(summary: Summary, method: str) -> float:
    return harmonic_mean(*(statistics.fmean(part[method].values()) for part in (summary.base, summary.new)))


def _count(datasets: Sequence[str]) -> str:
    return datasets[0] if len(datasets) == 1 else counted(len(datasets), "dataset")


def _save(figure, file: Path) -> None:
    with atomic_path(file) as temporary:
        figure.savefig(temporary, dpi=150, format=file.suffix[1:])
