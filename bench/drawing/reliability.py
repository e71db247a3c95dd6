"""Reliability diagrams of tests' outputs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dassl.metrics.calibration import ece, reliability
from dassl.outputs.reading import Outputs
from dassl.utils import InputError, atomic_path

from .figures import grid, pyplot

ENDINGS = (".png", ".pdf", ".svg")


def reliability_diagrams(found: Mapping[str, Outputs], file: Path) -> None:
    """Draw a diagram for each: accuracy in bins of confidence, with the share of images in them below (DeGroot and
    Fienberg 1983; Guo et al., ICML 2017). Raises InputError for outputs without confidences, and a file's ending."""
    if file.suffix not in ENDINGS:
        raise InputError(f"--reliability {file} must end in one of {', '.join(ENDINGS)}.")
    figure, axes = grid(len(found))
    for ax, (name, outputs) in zip(axes, found.items(), strict=True):
        known, answer = outputs.label >= 0, outputs.answer
        if answer.confidence is None:
            raise InputError(f"{outputs.file} has no confidences, which a reliability diagram shows.")
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
        title = f"{about['trainer']}, {about['dataset']}, seed {about['seed']}" if "seed" in about else name[-30:]
        ax.set_title(f"{title}\nECE {100 * ece(confidence, right):.1f} %")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(file) as temporary:
            figure.savefig(temporary, dpi=200, format=file.suffix[1:])
    except OSError as error:
        raise InputError(f"{file} cannot be written ({error.strerror or error}); name another file.") from error
    finally:
        pyplot().close(figure)
