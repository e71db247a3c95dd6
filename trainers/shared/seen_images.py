"""What a tuned image tower says about test images, kept in memory for the next test of the same model on them.

Tests of one model that differ in the class names alone (noisy text, other candidates) ask the tower for the same
features. A frozen tower's features come from disk; those of a tuned one are worth keeping only while its model is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor
from torch.utils.data import DataLoader, SequentialSampler

from clipkit import fingerprint

from .crop_features import says_so
from .feature_loader import bank_key

if TYPE_CHECKING:
    from .method import Method

LIMIT = 2**28  # bytes: ViT-B/16's features of 50,000 images with five tokens each in fp32; further ones are not kept
# The attributes of a method that encode images. A class that defines one of them states by `images_read_no_names`
# whether their results are the same for any class names.
ENCODES = ("encode_image", "prompted_image", "image_sides", "look")

Sides = TypeVar("Sides", Tensor, "tuple[Tensor | None, ...]")


class SeenImages:
    """What was computed for each batch of one test."""

    def __init__(self, key: str) -> None:
        self.key, self.room = key, LIMIT
        self.found: dict[int, tuple[Tensor | None, ...]] = {}

    def get(self, batch: int, image: Tensor, compute: Callable[[Tensor], Sides]) -> Sides:
        """compute(image) of the batch of that number, or what it was before, to the last bit."""
        if batch in self.found:
            before = tuple(None if x is None else x.to(image.device, copy=True) for x in self.found[batch])
            return before if len(before) > 1 else before[0]  # type: ignore[return-value]
        found = compute(image)
        parts = found if isinstance(found, tuple) else (found,)
        self.room -= sum(x.nbytes for x in parts if x is not None)
        if self.room >= 0:
            self.found[batch] = tuple(None if x is None else x.detach().to("cpu", copy=True) for x in parts)
        return found


_last = SeenImages("")  # of this process's last test


def seen_images(trainer: Method, batches: object) -> SeenImages | None:
    """What this process's last test computed, empty where that was of another model or other images; None where the
    tower is frozen, TEST.FEATURE_BANK is off, or the method does not say `images_read_no_names`."""
    global _last
    if (
        not isinstance(batches, DataLoader)
        or trainer.frozen_image_encoder
        or not trainer.cfg.TEST.get("FEATURE_BANK", True)
    ):
        return None
    order = getattr(batches.sampler, "sampler", batches.sampler)  # of a seeded order
    if not isinstance(order, SequentialSampler) or trainer.answers_itself():
        return None
    if not says_so(type(trainer), "images_read_no_names", ENCODES):
        return None
    about = {
        **bank_key(batches, fingerprint(trainer.clip), trainer.precision, trainer.device),  # type: ignore[arg-type]
        "method": type(trainer).__qualname__,
        "settings": trainer.cfg.TRAINER.dump(),
        "learned": learned(trainer),
    }
    key = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
    if _last.key != key:
        _last = SeenImages(key)
    return _last


def learned(trainer: Method) -> str:
    """SHA-256 (hex) over all tensors of the method's models."""
    digest = hashlib.sha256()
    for part, model in sorted(trainer.registered().items()):
        for name, x in sorted(model.state_dict().items()):
            digest.update(f"{part} {name} {x.dtype} {tuple(x.shape)}".encode())
            digest.update(x.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
