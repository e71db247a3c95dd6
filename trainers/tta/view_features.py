"""Features of the views of test images, encoded once for all methods that use the same views.

The views of each image are encoded separately, so that no bit of their features depends on other images, on their
order, or on which features are on disk.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from clipkit import fingerprint, image_list_key
from clipkit.appended_file import AppendedFile
from clipkit.cache_room import VARIABLE, limit

from ..shared.bank_facts import bank_facts
from ..shared.method import Method
from .views import ViewedImage, full, view_loader

logger = logging.getLogger(__name__)

BLOCK = 16  # images that are encoded while other processes wait


class Viewing(Method, Protocol):
    """What a `TestTimeTrainer` has beside other methods."""

    views: Any  # a ViewMaker
    mean: Tensor
    std: Tensor

    def raw_features(self, pixels: Tensor) -> Tensor: ...


class ViewFeatures:
    """The images of one test in order, each with the features of its views.

    order: the items' indices in the wanted order; None: the order of the list. clean: see `ViewDataset`.
    """

    def __init__(
        self, trainer: Viewing, loader: DataLoader, split: str,
        order: Sequence[int] | None = None, clean: Collection[int] = (),
    ) -> None:  # fmt: skip
        self.trainer, self.loader, self.split, self.clean = trainer, loader, split, clean
        self.order = range(len(loader.dataset.data_source)) if order is None else order
        self.dataset = self._images(self.order).dataset
        self.file = self._file()

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[ViewedImage]:
        known = set() if self.file is None else self.file.names()
        unknown = {i for i in self.order if self._name(i) not in known}
        made = iter(self._images([i for i in self.order if i in unknown]))
        for start in range(0, len(self.order), BLOCK):
            block = self.order[start : start + BLOCK]
            images = {i: next(made) for i in block if i in unknown}
            found = self._read(block)
            if len(found) < len(block):
                found |= self._encode([i for i in block if i not in found], images)
            for i in block:
                image = self.dataset.about(i)
                image.features = found[i].to(self.trainer.device)
                yield image

    def _images(self, order: Sequence[int]) -> DataLoader:
        trainer = self.trainer
        return view_loader(trainer.cfg, trainer.views, self.loader, trainer.dm.dataset, self.split, order, self.clean)

    def _name(self, index: int) -> str:
        return f"{index} clean" if index in self.clean else str(index)

    def _read(self, indices: Sequence[int]) -> dict[int, Tensor]:
        """{index: features [n, d]} of the images that are on disk."""
        if self.file is None:
            return {}
        found = {i: full(records[-1]["feature"]) for i in indices if (records := self.file.read(self._name(i)))}
        self.trainer.reads["views"] += len(found) * self.trainer.views.n
        return found

    def _encode(self, indices: Sequence[int], images: dict[int, ViewedImage]) -> dict[int, Tensor]:
        """{index: features [n, d]}, encoded and stored. images: views that workers made already."""
        if self.file is None:
            return {i: self._features(images[i]) for i in indices}
        with self.file.locked():
            found = self._read(indices)  # another process may have been first
            for i in indices:
                if i not in found:
                    found[i] = self._features(images.get(i) or self.dataset[i])
                    self.file.append(self._name(i), {"feature": narrow(found[i])})
        return found

    def _features(self, image: ViewedImage) -> Tensor:
        trainer = self.trainer
        return trainer.raw_features(trainer.views.finish(image, trainer.device)).cpu()

    def _file(self) -> AppendedFile | None:
        trainer, items = self.trainer, self.dataset.items
        if not trainer.cfg.TEST.get("FEATURE_BANK", True) or trainer.cfg.SEED < 0:
            return None
        bytes_ = 4 if trainer.precision == "fp32" else 2
        size = len(items) * trainer.views.n * trainer.image_encoder.embed_dim * bytes_
        if size > limit():
            logger.info(
                "Features of views are not stored: %.1f GB for all images is more than %s", size / 1e9, VARIABLE
            )
            return None
        drawn = self.dataset.seeds if trainer.views.n > 1 else []  # the plain view depends on no draw
        seeds = hashlib.sha256(repr(drawn).encode()).hexdigest()
        key = {
            "kind": "features of the views of test images",
            **bank_facts(fingerprint(trainer.clip), trainer.precision, trainer.device),
            "images": image_list_key([item.impath for item in items]),
            "attacked": items.adversarial.content if hasattr(items, "adversarial") else None,
            "views": trainer.views.recipe,
            "pixels": [trainer.mean.flatten().tolist(), trainer.std.flatten().tolist()],
            "seeds": seeds,
        }
        return AppendedFile(trainer.bank.path(key).with_suffix(".features"), key)


def narrow(feature: Tensor) -> Tensor:
    """The features in 16 bits if these hold the same numbers (a tower that ran in fp16 or bf16), else unchanged."""
    for dtype in (torch.float16, torch.bfloat16):
        if torch.equal(feature.to(dtype).to(feature.dtype), feature):
            return feature.to(dtype)
    return feature
