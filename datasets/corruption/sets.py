"""Corrupted test pictures on disk, in the format of adversarial sets: made once, used by all methods."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import PIL
import scipy
import torch
import torchvision
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from yacs.config import CfgNode

from clipkit import image_list_key
from clipkit.files import locked
from dassl.data.datasets import Datum
from dassl.data.workers import usable_workers
from dassl.utils import InputError, stream_seed
from dassl.utils.progress import progress

from ..attacked.manifest import key_of, list_hash
from ..attacked.pictures import base_pictures, picture_transform
from ..attacked.store import MANIFEST, SHARD, StoredSet, finish, read_shard, shards, write_shard
from ..reading.paths import image_folder, relative_paths
from .recipe import CORRUPTIONS, VERSION, corrupt

if TYPE_CHECKING:
    from dassl.data.datasets import DatasetBase

logger = logging.getLogger(__name__)
BATCH = 50  # pictures between two steps of the progress bar


class CorruptedSet(StoredSet):
    """Corrupted pictures. facts: the short form that results.json has."""

    what, remedy = "set of corrupted pictures", "python -m datasets corrupt"

    @property
    def facts(self) -> dict:
        """Key, content, corruption, severity, seed, number of images, mean change in grey levels."""
        given = self.manifest
        return {
            "key": self.key, "content": self.content, "name": given["corruption"], "severity": given["severity"],
            "seed": given["seed"], "version": given["corruption_version"], "images": len(self),
            "mean_levels": self.totals["mean_levels"],
        }  # fmt: skip


def corrupted_root(cfg: CfgNode) -> Path:
    """The folder of corrupted sets: TEST.CORRUPTION.DIR, or <data root>/corrupted."""
    folder = cfg.TEST.CORRUPTION.DIR or os.path.join(cfg.DATASET.ROOT, "corrupted")
    return Path(folder).expanduser().absolute()


def describe(cfg: CfgNode, dataset: DatasetBase, items: Sequence[Datum], split: str) -> dict:
    """The manifest of a set that is to be made: data, pictures, corruption, versions of what makes the pixels."""
    given, pictures = cfg.TEST.CORRUPTION, cfg.INPUT
    mode = pictures.get("RESIZE_MODE", "shortest")
    return {
        "schema": 1,
        "corruption_version": VERSION,
        "dataset": cfg.DATASET.NAME,
        "split": split,
        "subsample": cfg.DATASET.get("SUBSAMPLE_CLASSES", "all"),
        "list_sha256": list_hash(items, image_folder(dataset, items)),
        "images_sha256": image_list_key([item.impath for item in items]),
        "pictures": {"size": list(pictures.SIZE), "interpolation": pictures.INTERPOLATION, "resize": mode},
        "libraries": {
            "pillow": PIL.__version__, "torchvision": torchvision.__version__.partition("+")[0],
            "numpy": np.__version__, "scipy": scipy.__version__,
        },
        "corruption": given.NAME,
        "severity": given.SEVERITY,
        "strength": list(CORRUPTIONS[given.NAME].strengths[given.SEVERITY - 1]),
        "seed": given.SEED,
    }  # fmt: skip


def make_set(cfg: CfgNode, dataset: DatasetBase, split: str = "test", shard: int = SHARD) -> Path:
    """Makes the set that `cfg.TEST.CORRUPTION` describes, unless it exists; returns its folder.

    Only shards that are missing or damaged are made; a second process that makes the same set waits. Raises InputError
    for a split without images, and before anything is written for pictures that are no squares.
    """
    items: list[Datum] = list((dataset.val if split == "val" else dataset.test) or [])
    if not items:
        raise InputError(f"{cfg.DATASET.NAME} has no {split} images to corrupt.")
    transform = picture_transform(cfg)
    manifest = describe(cfg, dataset, items, split)
    name = f"{split}-{manifest['subsample']}-{manifest['corruption']}-{manifest['severity']}-{key_of(manifest)[:12]}"
    folder = corrupted_root(cfg) / cfg.DATASET.NAME / name
    paths = relative_paths(items, image_folder(dataset, items))
    pictures = _Corrupted(base_pictures(items, transform), paths, manifest)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / ".lock"):
            _fill(folder, manifest, pictures, items, paths, shards(len(items), shard), cfg)
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error.strerror}); give another TEST.CORRUPTION.DIR.") from error
    return folder


class _Corrupted(Dataset):
    """Item i: (corrupted picture uint8 [3, H, W], mean change in grey levels). An image has the same random numbers at
    every severity, so that only the strength differs between severities."""

    def __init__(self, clean: Sequence[Tensor], paths: Sequence[str], about: dict) -> None:
        self.clean, self.paths, self.about = clean, paths, about

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, float]:
        a, clean = self.about, self.clean[index].permute(1, 2, 0).numpy()
        seed = stream_seed(a["seed"], a["dataset"], a["split"], self.paths[index], a["corruption"])
        found = corrupt(clean, a["corruption"], a["severity"], seed)
        moved = float(np.abs(found.astype(int) - clean).mean())
        return torch.from_numpy(found.copy()).permute(2, 0, 1).contiguous(), moved


def _fill(
    folder: Path, manifest: dict, pictures: _Corrupted, items: Sequence[Datum], paths: Sequence[str],
    ranges: list[range], cfg: CfgNode,
) -> None:  # fmt: skip
    """Makes the missing shards, then table and manifest."""
    parts = {number: read_shard(folder, number, len(rows)) for number, rows in enumerate(ranges)}
    missing = [number for number, part in parts.items() if part is None]
    if not missing and (folder / MANIFEST).is_file():
        return
    started = time.time()
    order = [i for number in missing for i in ranges[number]]
    loader = DataLoader(
        torch.utils.data.Subset(pictures, order),
        batch_size=BATCH,
        num_workers=usable_workers(cfg.DATALOADER.NUM_WORKERS),
        generator=torch.Generator(),  # its own, or it would draw from the run's
    )
    made = (
        (picture, moved) for batch in progress(loader, desc="corrupt") for picture, moved in zip(*batch, strict=True)
    )
    for number in missing:
        found = [next(made) for _ in ranges[number]]
        rows = [
            {"index": i, "path": paths[i], "label": items[i].label, "mean_levels": round(float(moved), 4)}
            for i, (_, moved) in zip(ranges[number], found, strict=True)
        ]
        write_shard(folder, number, torch.stack([picture for picture, _ in found]), rows, cfg.TEST.CORRUPTION.STORE)
        parts[number] = read_shard(folder, number, len(rows))
    rows = [row for part in parts.values() for row in (part or {})["rows"]]
    totals = {"images": len(rows), "mean_levels": round(sum(row["mean_levels"] for row in rows) / len(rows), 4)}
    when = {"seconds": round(time.time() - started, 1), "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z")}
    finish(folder, manifest, totals, when, [part or {} for part in parts.values()])


def clean_picture(item: Datum, transform: Callable[[Image.Image], Image.Image]) -> np.ndarray:
    """The picture of an image before its corruption, uint8 [H, W, 3]."""
    return base_pictures([item], transform)[0].permute(1, 2, 0).numpy()
