"""Measures how well a score separates wrong from right training labels: ROC curves, areas, precision and recall."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score, roc_curve

from dassl.utils.spread import shown, words

from ..drawing import figures
from ..drawing.looks import looks
from .noise_evidence import Judgement

HEADERS = ["setting", "method", "AUC of loss", "AUC of own score", "precision", "recall", "seeds"]
NOTE = (
    "AUC in %: a wrong label is ranked above a right one, by the loss of the observed label under the trained prompts, "
    "and by the score that the method itself goes by. Precision and recall in %: of the labels that it takes for wrong "
    f"in its last epoch, those that are, and of the wrong ones those that it finds. ± is {words()}."
)


def suspicion(judgement: Judgement, own: bool) -> np.ndarray:
    """[N], higher for labels that are more likely wrong: the loss, or the method's own score with its sign changed."""
    return (-judgement.score if own else judgement.loss).double().numpy()


def row(setting: str, method: str, runs: Sequence[Judgement]) -> list[str]:
    """A row of the table, with means over seeds."""
    columns: list[list[float]] = [[], [], [], []]
    for run in runs:
        wrong = run.wrong.numpy()
        columns[0].append(roc_auc_score(wrong, suspicion(run, own=False)))
        if run.score is not None:
            hits = (run.flagged & run.wrong).sum().item()
            columns[1].append(roc_auc_score(wrong, suspicion(run, own=True)))
            columns[2] += [hits / run.flagged.sum().item()] if run.flagged.any() else []  # undefined without a flag
            columns[3].append(hits / run.wrong.sum().item())
    return [setting, method, *(shown([100 * x for x in column]) for column in columns), str(len(runs))]


def mean_curve(runs: Sequence[Judgement], own: bool) -> tuple[np.ndarray, np.ndarray, float]:
    """(false positive rates, true positive rates, mean AUC) of one run's curve, or of several runs' mean curve."""
    curves = [roc_curve(run.wrong.numpy(), suspicion(run, own))[:2] for run in runs]
    area = statistics.fmean(roc_auc_score(run.wrong.numpy(), suspicion(run, own)) for run in runs)
    if len(curves) == 1:
        return *curves[0], area
    x = np.linspace(0, 1, 501)
    y = np.mean([np.interp(x, *curve) for curve in curves], axis=0)
    return np.concatenate([[0], x]), np.concatenate([[0], y]), area


def plot(settings: dict[str, dict[str, list[Judgement]]], folder: Path) -> list[Path]:
    """Draw {setting: {method: its runs}} as roc.png and .pdf, and return the files.

    Solid lines are for the loss, dashed ones for the method's own score. The legend of each panel has the areas.
    """
    look = looks(list(dict.fromkeys(method for methods in settings.values() for method in methods)))
    curves = max(len(runs) + sum(r[0].score is not None for r in runs.values()) for runs in settings.values())
    figure, axes = figures.grid(len(settings), most=3, width=2.9, height=2.9 + 0.15 * (curves + 1))
    for ax, (setting, methods) in zip(axes, settings.items(), strict=True):
        ax.plot([0, 1], [0, 1], color="#a0a0a0", linewidth=0.8)
        for method, runs in methods.items():
            for own in (False, True):
                if own and any(run.score is None for run in runs):
                    continue
                x, y, area = mean_curve(runs, own)
                kind = "own score" if own else "loss"
                label = f"{method}, {kind}: {100 * area:.1f}"
                ax.plot(x, y, color=look[method].style()["color"], linestyle="--" if own else "-", label=label)
        ax.set(title=setting, xlabel="right labels suspected", xlim=(0, 1), ylim=(0, 1.005), aspect="equal")
        below = {"loc": "upper left", "bbox_to_anchor": (0, -0.2)}  # inside the panel it would hide a curve
        ax.legend(title="area, %", alignment="left", fontsize=6.5, title_fontsize=6.5, handlelength=1.8, **below)
    axes[0].set_ylabel("wrong labels found")
    return figures.save(figure, folder, "roc")
