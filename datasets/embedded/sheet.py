"""A picture of the embedded sets: a row of images of each, every one of another class."""

from __future__ import annotations

import os
from pathlib import Path

import matplotlib
import torch

from dassl.utils import InputError
from dassl.utils.files import atomic_path

from .suite import SPECS, draw_split
from .vocab import CLASSES

COLUMNS = 10


def draw_sheet(file: Path) -> None:
    """Draw the sets into `file`, in the format that its ending names: training images, of variants test images.

    Raises InputError if the folder of `file` is missing or its ending is not one of a picture.
    """
    if not os.path.isdir(file.parent):
        raise InputError(f"There is no folder {file.parent} for the picture {file}.")
    if file.suffix.lower() not in (".png", ".pdf", ".svg", ".jpg"):
        raise InputError(f"{file}: the ending says how to draw; take .png, .jpg, .pdf or .svg.")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(len(SPECS), COLUMNS, figsize=(COLUMNS, 1.25 * len(SPECS)), layout="constrained")
    for row, (stem, spec) in zip(axes, SPECS.items(), strict=True):
        images, labels = (torch.cat(x) for x in zip(*draw_split(stem, "train" if spec.train else "test"), strict=True))
        names = CLASSES[spec.classes]
        chosen = [round(i * (len(names) - 1) / (COLUMNS - 1)) for i in range(COLUMNS)]
        for axis, label in zip(row, chosen, strict=True):
            axis.imshow(images[(labels == label).nonzero()[0, 0]].numpy())
            axis.set_title(names[label], fontsize=7, pad=2)
            axis.set_xticks([])
            axis.set_yticks([])
        row[0].set_ylabel(spec.name, fontsize=8)
    with atomic_path(file) as partial:
        figure.savefig(partial, format=file.suffix[1:].lower(), dpi=100)
    pyplot.close(figure)
