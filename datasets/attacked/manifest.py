"""The description of an adversarial set (data, surrogate, attack) as one JSON value; its hash is the set's key."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import PIL
import torchvision
from yacs.config import CfgNode

from attacks import VERSION, AttackSettings
from dassl.data.datasets import Datum
from dassl.utils import InputError, stream_seed

from ..reading.paths import relative_paths

SCHEMA = 1


def canonical(value: object) -> str:
    """The value as JSON with sorted keys and no spaces: equal values give equal texts."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def key_of(manifest: dict) -> str:
    """SHA-256 (hex) of a manifest without results (totals, checksums, times)."""
    return hashlib.sha256(canonical(manifest).encode()).hexdigest()


def list_hash(items: Sequence[Datum], image_dir: str) -> str:
    """SHA-256 (hex) over path, label and class name of every item, in order."""
    paths = relative_paths(items, image_dir)
    rows = [[path, item.label, item.classname] for path, item in zip(paths, items, strict=True)]
    return hashlib.sha256(canonical(rows).encode()).hexdigest()


def stratified(labels: Sequence[int], size: int, seed: int) -> list[int]:
    """Ascending indices of `size` items, each class in proportion (largest remainders first, then lower labels)."""
    if not 0 < size <= len(labels):
        raise InputError(f"ATTACK.SUBSET is {size}, but the list has {len(labels)} images.")
    labels = np.asarray(labels)
    rng = np.random.default_rng(stream_seed(seed, "subset"))
    classes, counts = np.unique(labels, return_counts=True)
    exact = counts * size / len(labels)
    quota = exact.astype(int)
    order = np.lexsort((classes, -(exact - quota)))
    quota[order[: size - quota.sum()]] += 1
    drawn = [rng.choice(np.flatnonzero(labels == c), n, replace=False) for c, n in zip(classes, quota, strict=True)]
    return sorted(int(i) for part in drawn for i in part)


def listed(paths: Sequence[str], file: str) -> list[int]:
    """Ascending indices of the images that a file names, one per line: by path below the image folder, by its end
    (class folder and file), or by file name where only one image has it.

    Raises InputError for a file that cannot be read, and for a name that fits no image, several, or one named already.
    """
    try:
        lines = Path(file).expanduser().read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The list of images {file} cannot be read ({error}).") from error
    places: dict[str, list[int]] = {}
    for i, path in enumerate(paths):
        parts = path.split("/")
        for start in range(len(parts)):
            places.setdefault("/".join(parts[start:]), []).append(i)
    found: dict[int, str] = {}
    for number, line in enumerate(lines, start=1):
        name = line.strip()
        if not name:
            continue
        fits = places.get(name, [])
        if len(fits) != 1 or fits[0] in found:
            what = "names an image again" if len(fits) == 1 else f"fits {len(fits) or 'none'} of the images"
            raise InputError(
                f"Line {number} of {file}, {name!r}, {what}; give each image once, as its folder and file."
            )
        found[fits[0]] = name
    if not found:
        raise InputError(f"The list of images {file} is empty.")
    return sorted(found)


def preprocessing(cfg: CfgNode) -> dict:
    """The config values that determine the picture, and those of the normalisation between picture and model."""
    given = cfg.INPUT
    normalised = "normalize" in given.TRANSFORMS
    return {
        "size": list(given.SIZE),
        "interpolation": given.INTERPOLATION,
        "mean": [float(x) for x in given.PIXEL_MEAN] if normalised else None,
        "std": [float(x) for x in given.PIXEL_STD] if normalised else None,
    }


def describe(
    cfg: CfgNode, classnames: Sequence[str], items: Sequence[Datum], image_dir: str, split: str, surrogate: dict,
    settings: AttackSettings, ids: list[int] | None,
) -> dict:  # fmt: skip
    """The manifest of a set that is to be made. ids: indices of the subset, None for all items."""
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


def check_fits(manifest: dict, cfg: CfgNode, items: Sequence[Datum], image_dir: str, split: str, where: str) -> None:
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
