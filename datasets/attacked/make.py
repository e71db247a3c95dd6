"""Makes adversarial sets: frozen CLIP with a hand-written prompt is attacked on every test picture of a dataset."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from yacs.config import CfgNode

from attacks import AttackSettings, Outcome, Surrogate, attack_pictures
from clipkit import image_list_key, load_backbone, load_clip
from clipkit.files import locked
from dassl.data.datasets import Datum
from dassl.data.workers import usable_workers
from dassl.utils import InputError, stream_seed
from dassl.utils.progress import progress

from ..reading.paths import image_folder, relative_paths
from .manifest import describe, key_of, listed, preprocessing, stratified
from .pictures import base_pictures, picture_transform
from .store import MANIFEST, SHARD, finish, images_of, picture_hash, read_shard, shards, write_shard

if TYPE_CHECKING:
    from dassl.data.datasets import DatasetBase

logger = logging.getLogger(__name__)


def adversarial_root(cfg: CfgNode) -> Path:
    """The folder of adversarial sets: ATTACK.DIR, or <data root>/adv."""
    return Path(cfg.ATTACK.DIR or os.path.join(cfg.DATASET.ROOT, "adv")).expanduser().absolute()


def backbone_file(backbone: Mapping) -> str:
    """The file of a backbone's weights, or of its image tower if that has one; "" for weights known by name."""
    return backbone.get("VISUAL_WEIGHTS", "") or backbone.get("PATH", "")


def attacked_backbone(cfg: CfgNode, device: torch.device) -> nn.Module:
    """The CLIP that a transfer attack is made against. Raises InputError for an attack on a method's own prompts."""
    attack, backbone = cfg.ATTACK, cfg.MODEL.BACKBONE
    if attack.MODE in ("W", "A") or attack.SURROGATE == "self":
        raise InputError(
            "An adversarial set on disk is made against frozen CLIP (ATTACK.MODE T or X); an attack on the evaluated "
            "method itself needs the trained method."
        )
    if attack.SURROGATE in ("", backbone.NAME):
        return load_backbone(backbone, "fp32", device)
    if attack.MODE != "X":
        raise InputError(
            f"ATTACK.SURROGATE {attack.SURROGATE} is not the run's backbone ({backbone.NAME}); a transfer between "
            "backbones is ATTACK.MODE X."
        )
    return load_clip(attack.SURROGATE, "", "fp32", device)


def make_set(
    cfg: CfgNode,
    dataset: DatasetBase,
    split: str = "test",
    clip_model: nn.Module | None = None,
    shard: int = SHARD,
    images: str = "",
) -> Path:
    """Makes the set that `cfg.ATTACK` describes on the split's images, unless it exists; returns its folder.

    clip_model: the attacked backbone in fp32 if it is loaded already. Only shards that are missing or damaged are
    made. A second process that makes the same set waits. Raises InputError before anything is written.
    images: a file that lists the images to attack, instead of ATTACK.SUBSET, which draws them.
    """
    items: list[Datum] = list((dataset.val if split == "val" else dataset.test) or [])
    if not items:
        raise InputError(f"{cfg.DATASET.NAME} has no {split} images to attack.")
    settings = AttackSettings.from_cfg(cfg, len(dataset.classnames))
    if settings.quant == "none":
        raise InputError("ATTACK.QUANT none leaves pictures as floats, which are never stored; take round_project.")
    device = torch.device("cuda" if torch.cuda.is_available() and cfg.USE_CUDA else "cpu")
    clip_model = attacked_backbone(cfg, device) if clip_model is None else clip_model
    surrogate = _surrogate(cfg, dataset.classnames, clip_model)
    image_dir = image_folder(dataset, items)
    size = cfg.ATTACK.SUBSET
    if images and size:
        raise InputError("Images are chosen by a list or drawn by ATTACK.SUBSET (--subset), not both; leave one out.")
    ids = stratified([item.label for item in items], size, settings.seed) if size else None
    ids = listed(relative_paths(items, image_dir), images) if images else ids
    manifest = describe(cfg, dataset.classnames, items, image_dir, split, surrogate.facts(), settings, ids)
    if images:
        manifest["subset"] = {"rule": "list", "ids": ids}
    chosen = [items[i] for i in ids] if ids else items
    about = {"index": ids or list(range(len(items))), "path": relative_paths(chosen, image_dir)}
    maker = _Maker(cfg, settings, surrogate, chosen, about, split, device)

    name = f"{split}-{manifest['subsample']}-{settings.title}-{key_of(manifest)[:12]}"
    folder = adversarial_root(cfg) / cfg.DATASET.NAME / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / ".lock"):
            maker.fill(folder, manifest, shards(len(chosen), shard))
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error.strerror}); give another ATTACK.DIR.") from error
    return folder


def _surrogate(cfg: CfgNode, classnames: list[str], clip_model: nn.Module) -> Surrogate:
    size, given = clip_model.visual.input_resolution, preprocessing(cfg)
    if given["size"] != [size, size]:
        raise InputError(
            f"INPUT.SIZE is {tuple(given['size'])}, but the attacked backbone reads {size} x {size} pixels."
        )
    mean, std = given["mean"] or (0.0,) * 3, given["std"] or (1.0,) * 3
    return Surrogate(clip_model, classnames, cfg.ATTACK.PROMPT, mean, std)


def image_seeds(seed: int, dataset: str, split: str, paths: Sequence[str]) -> list[int]:
    """A seed for the attack on each image, from its path below the image folder, not its place or the other images."""
    return [stream_seed(seed, dataset, split, path, "attack") for path in paths]


class _Maker:
    """Attacks batch by batch, and writes a shard when it is full."""

    def __init__(
        self,
        cfg: CfgNode,
        settings: AttackSettings,
        surrogate: Surrogate,
        items: list[Datum],
        about: dict,
        split: str,
        device: torch.device,
    ) -> None:
        self.cfg, self.settings, self.surrogate, self.device = cfg, settings, surrogate, device
        self.items, self.about = items, about
        self.pictures = base_pictures(items, picture_transform(cfg))
        self.label = torch.tensor([item.label for item in items])
        self.seeds = image_seeds(settings.seed, cfg.DATASET.NAME, split, about["path"])

    def fill(self, folder: Path, manifest: dict, ranges: list[range]) -> None:
        """Makes the missing shards, then table and manifest."""
        images = image_list_key([item.impath for item in self.items])
        parts = {i: read_shard(folder, i, len(rows)) for i, rows in enumerate(ranges)}
        finished = (folder / MANIFEST).is_file()
        if images_of(folder) != images:
            parts = {i: part if part and self._is_of_these(part, ranges[i]) else None for i, part in parts.items()}
        missing = [i for i, part in parts.items() if part is None]
        if not missing and finished:
            logger.info("Adversarial set %s exists already", folder)
            return
        if len(missing) < len(ranges):
            logger.info("Adversarial set %s: %d of %d shards exist", folder, len(ranges) - len(missing), len(ranges))
        started = time.time()
        # a batch never reaches into another shard, so that a shard made again is the same
        batches = [
            (i, [*ranges[i][start : start + self.settings.batch]])
            for i in missing
            for start in range(0, len(ranges[i]), self.settings.batch)
        ]
        pictures, rows = [], []
        for (number, chosen), clean in zip(batches, progress(self._loader(batches), desc="attack"), strict=True):
            outcome = self._attack(clean, chosen)
            pictures.append(outcome.picture.cpu())
            rows += self._rows(clean, outcome, chosen)
            if len(rows) == len(ranges[number]):
                write_shard(folder, number, torch.cat(pictures), rows, self.cfg.ATTACK.STORE)
                parts[number] = read_shard(folder, number, len(rows))
                pictures, rows = [], []
        attack, backbone = self.cfg.ATTACK, self.cfg.MODEL.BACKBONE
        made = {
            "backbone": attack.SURROGATE or backbone.NAME,
            "backbone_file": "" if attack.SURROGATE else os.path.basename(backbone_file(backbone)),
            "torch": torch.__version__,
            "device": torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "cpu",
            "batch": self.settings.batch,
            "images": images,
            "seconds": round(time.time() - started, 1),
            "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        }
        finish(folder, manifest, totals([row for i in parts for row in parts[i]["rows"]]), made, list(parts.values()))

    def _is_of_these(self, part: dict, rows: range) -> bool:
        """Whether a shard was made from the present pictures of these images."""
        pairs = zip(rows, part["rows"], strict=True)
        return all(picture_hash(self.pictures[i]) == row["clean_sha256"] for i, row in pairs)

    def _loader(self, batches: list) -> DataLoader:
        """Clean pictures, batch by batch. With a GPU, worker processes make them ahead, so that it need not wait."""
        workers = usable_workers(self.cfg.DATALOADER.NUM_WORKERS) if self.device.type == "cuda" else 0
        return DataLoader(
            self.pictures,
            batch_sampler=[chosen for _, chosen in batches],
            num_workers=workers,
            generator=torch.Generator(),  # its own, or it would draw from the run's
        )

    def _attack(self, clean: Tensor, chosen: list[int]) -> Outcome:
        seeds = [self.seeds[i] for i in chosen]
        clean, label = clean.to(self.device), self.label[chosen].to(self.device)
        return attack_pictures(self.settings, self.surrogate, clean, label, seeds)

    def _rows(self, clean: Tensor, outcome: Outcome, chosen: list[int]) -> list[dict]:
        """The table's rows of one batch."""
        moved = (outcome.picture.cpu().int() - clean.int()).abs().flatten(1)
        columns = {
            "index": [self.about["index"][i] for i in chosen],
            "path": [self.about["path"][i] for i in chosen],
            "label": self.label[chosen].tolist(),
            "clean_sha256": [picture_hash(picture) for picture in clean],
            "clean_pred": outcome.clean_pred.tolist(),
            "float_pred": outcome.float_pred.tolist(),
            "pred": outcome.pred.tolist(),
            "margin": [round(value, 4) for value in outcome.margin.tolist()],
            "max_levels": moved.amax(1).tolist(),
            "mean_levels": [round(value, 4) for value in moved.float().mean(1).tolist()],
            "zero_gradient": outcome.zero_gradient.int().tolist(),
            "steps": [self.settings.steps] * len(chosen),
            "attack": outcome.attack,
        }
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def totals(rows: list[dict]) -> dict:
    """Accuracies of the surrogate in percent; how many images had no gradient; the largest change in grey levels."""

    def accuracy(column: str) -> float:
        return 100.0 * sum(row[column] == row["label"] for row in rows) / len(rows)

    return {
        "images": len(rows),
        "clean_accuracy": accuracy("clean_pred"),
        "float_accuracy": accuracy("float_pred"),
        "accuracy": accuracy("pred"),
        "zero_gradients": sum(row["zero_gradient"] for row in rows),
        "max_levels": max(row["max_levels"] for row in rows),
    }
