"""Reliability diagrams of tests' outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dassl.metrics.calibration import ece, reliability
from dassl.outputs.reading import Outputs
from dassl.utils import InputError

from .figures import grid, pyplot

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def reliability_diagrams(found: Sequence[tuple[str, Outputs]]) -> Figure:
    """A diagram for each (name, outputs): accuracy in bins of confidence, with the share of images in them below
    (DeGroot and Fienberg 1983; Guo et al., ICML 2017). Raises InputError for outputs without confidences."""
    for _, outputs in found:
        if outputs.answer.confidence is None:
            raise InputError(f"{outputs.file} has no confidences, which a reliability diagram shows; leave it out.")
    figure, axes = grid(len(found))
    pyplot().close(figure)  # it can be saved all the same
    for ax, (name, outputs) in zip(axes, found, strict=True):
        known, answer = outputs.label >= 0, outputs.answer
        assert answer.confidence is not None
        confidence, right = answer.confidence[known], answer.prediction[known] == outputs.label[known]
        bins = reliability(confidence, right)
        width = 1 / len(bins.upper)
        ax.bar(
            bins.upper - width, bins.accuracy, width, align="edge", color="#0072B2", edgecolor="white", linewidth=0.5
        )
        ax.bar(bins.upper - width, -0.2 * bins.images / bins.images.max(), width, align="edge", color="#bbbbbb")
        ax.plot([0, 1], [0, 1], color="#D55E00", linewidth=1)
        ax.set(xlim=(0, 1), ylim=(-0.22, 1), xlabel="confidence", ylabel="accuracy")
        ax.set_yticks([0, 0.5, 1])
        about = outputs.about
        told = about.keys() >= {"trainer", "dataset", "seed"}
        title = f"{about['trainer']}, {about['dataset']}, seed {about['seed']}" if told else name[-30:]
        ax.set_title(f"{title}\nECE {100 * ece(confidence, right):.1f} %")
    return figure
