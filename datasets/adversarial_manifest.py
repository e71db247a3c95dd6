"""What an adversarial set was made from, as one JSON value; its hash is the set's key."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

import numpy as np
import PIL
import torchvision

from attacks import VERSION, AttackSettings
from dassl.data.datasets import Datum
from dassl.utils import InputError, derive_seed

from .paths import relative_paths

SCHEMA = 1


def canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def key_of(manifest: dict) -> str:
    """SHA-256 (hex) of a manifest without what was found out when the set was made."""
    return hashlib.sha256(canonical(manifest).encode()).hexdigest()


def list_hash(items: Sequence[Datum], image_dir: str) -> str:
    """Over path, label and class name of every item, in order."""
    paths = relative_paths(items, image_dir)
    rows = [[path, item.label, item.classname] for path, item in zip(paths, items, strict=True)]
    return hashlib.sha256(canonical(rows).encode()).hexdigest()


def stratified(labels: Sequence[int], size: int, seed: int) -> list[int]:
    """Ascending indices of `size` items, each class in proportion (largest remainders first, then lower labels)."""
    if not 0 < size <= len(labels):
        raise InputError(f"ATTACK.SUBSET is {size}, but the list has {len(labels)} images.")
    labels = np.asarray(labels)
    rng = np.random.default_rng(derive_seed(seed, "subset"))
    classes, counts = np.unique(labels, return_counts=True)
    exact = counts * size / len(labels)
    quota = exact.astype(int)
    order = np.lexsort((classes, -(exact - quota)))
    quota[order[: size - quota.sum()]] += 1
    drawn = [rng.choice(np.flatnonzero(labels == c), n, replace=False) for c, n in zip(classes, quota, strict=True)]
    return sorted(int(i) for part in drawn for i in part)


def preprocessing(cfg) -> dict:
    """What makes the picture, and what comes between picture and model."""
    given = cfg.INPUT
    normalised = "normalize" in given.TRANSFORMS
    return {
        "size": list(given.SIZE),
        "interpolation": given.INTERPOLATION,
        "mean": [float(x) for x in given.PIXEL_MEAN] if normalised else None,
        "std": [float(x) for x in given.PIXEL_STD] if normalised else None,
    }


def describe(
    cfg, classnames: Sequence[str], items: Sequence[Datum], image_dir: str, split: str, surrogate: dict,
    settings: AttackSettings, ids: list[int] | None,
) -> dict:  # fmt: skip
    """The manifest of a set that is to be made. ids: of the subset, None for all items."""
    return {
        "schema": SCHEMA,
        "attack_version": VERSION,
        "dataset": cfg.DATASET.NAME,
        "split": split,
        "subsample": cfg.DATASET.get("SUBSAMPLE_CLASSES", "all"),
        "list_sha256": list_hash(items, image_dir),
        "subset": None if ids is None else {"rule": "stratified", "seed": settings.seed, "ids": ids},
        "preprocessing": preprocessing(cfg),
        "libraries": {"pillow": PIL.__version__, "torchvision": torchvision.__version__.partition("+")[0]},
        "classnames": list(classnames),
        "surrogate": surrogate,
        "attack": settings.parameters(),
        "only_correct": settings.only_correct,
        "label": "true",
        "quant": settings.quant,
        "seed": settings.seed,
    }


def check_fits(manifest: dict, cfg, items: Sequence[Datum], image_dir: str, split: str, where: str) -> None:
    """Raises InputError, in one sentence, unless the set is of this run's data, split and preprocessing."""
    wanted = {
        "dataset": cfg.DATASET.NAME,
        "split": split,
        "subsample": cfg.DATASET.get("SUBSAMPLE_CLASSES", "all"),
        "preprocessing": preprocessing(cfg),
    }
    for name, value in wanted.items():
        if manifest[name] != value:
            raise InputError(
                f"{where} was made for {name} {manifest[name]}, but this run has {value}; make a set for this run "
                "(python -m datasets attack, or TEST.ADV_SET make)."
            )
    if manifest["list_sha256"] != list_hash(items, image_dir):
        raise InputError(
            f"{where} was made from another list of images, labels or class names of {cfg.DATASET.NAME} ({split}) than "
            "this run's; make it anew from this copy of the dataset."
        )
