"""Real label noise: training labels that come from the web. The labels stay as they are; a manifest records them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from dassl.utils import MissingFileError

from ..reading.splits import relative_paths
from .manifest import REAL, Manifest, NoisyItem

if TYPE_CHECKING:
    from dassl.data.datasets import DatasetBase

logger = logging.getLogger(__name__)


def has_real_noise(dataset: DatasetBase) -> bool:
    """Whether the labels of the dataset come from the web: its loader sets `real_noise = True`."""
    return getattr(dataset, "real_noise", False)


def real_manifest(about: dict, dataset: DatasetBase, folder: str) -> Manifest:
    """The manifest of the training list. `true` is the label where people verified it (`dataset.verified()`), else
    None: the right class of a wrong label is not known."""
    paths = relative_paths(dataset.train_x, folder)
    marks = _marks(dataset)
    looked_at = [marks[path] for path in paths if path in marks]
    items = [
        NoisyItem(path, item.label if marks.get(path) else None, item.label)
        for path, item in zip(paths, dataset.train_x, strict=True)
    ]
    params = {"looked_at": len(looked_at), "wrong": len(looked_at) - sum(looked_at)}
    return Manifest(**about, noise={"type": REAL, "rate": None, "seed": None, "params": params}, items=items)


def mark_items(dataset: DatasetBase, manifest: Manifest) -> None:
    """`gttarget` of each training item: its label, or -1 where it is not known to be right."""
    for item, row in zip(dataset.train_x, manifest.items, strict=True):
        item.gttarget = -1 if row.true is None else row.true


def _marks(dataset: DatasetBase) -> dict[str, bool]:
    """Image -> whether its label is right, for verified images; empty for a dataset without verified labels."""
    if not hasattr(dataset, "verified"):
        return {}
    try:
        return dataset.verified()
    except MissingFileError as error:
        logger.info("No verified labels can be read, so no label is known to be right: %s", error)
        return {}
