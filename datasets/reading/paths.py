"""Relative paths of images, which are the same on every machine."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dassl.data.datasets import Datum

if TYPE_CHECKING:
    from dassl.data.datasets import DatasetBase


def image_folder(dataset: DatasetBase, items: list[Datum]) -> str:
    """The folder that the paths of images are relative to."""
    return getattr(dataset, "image_dir", "") or os.path.dirname(os.path.commonprefix([i.impath for i in items]))


def relative_paths(items: Sequence[Datum], image_dir: str) -> list[str]:
    """The items' paths below `image_dir`, with forward slashes."""
    return [os.path.relpath(item.impath, image_dir).replace(os.sep, "/") for item in items]
