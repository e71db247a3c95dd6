"""Label noise on any dataset: the training list after few-shot sampling and class subsetting, never the test set.

DATASET.NOISE.TYPE sym_other DATASET.NOISE.RATE 0.5, for whichever method; or DATASET.NOISE.MANIFEST FILE. The noise
depends on dataset, shots, run seed, type and noise seed alone, so all methods meet the same wrong labels. A manifest
beside the dataset says which they are, and its hash is in the log and in results.json.
"""

from __future__ import annotations

import logging
import os
import zlib
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from yacs.config import CfgNode

from dassl.config.domains import check_value
from dassl.data.datasets import Datum
from dassl.data.datasets.build import WRAPPERS
from dassl.utils import InputError, base_seed

from .noise.config import CONFIG_DEFAULTS, CONFIG_DOMAINS, SWAPS, TYPES, N, add_noise_defaults
from .noise.features import class_similarity, image_features
from .noise.manifest import REAL, Manifest, NoisyItem, check_fits, read_manifest
from .noise.models import LABEL_MODELS, noise_generator, repeating_swap_plan, swap_plan
from .noise.real_noise import has_real_noise, mark_items, real_manifest

if TYPE_CHECKING:
    from dassl.data.datasets import DatasetBase

__all__ = ["SWAPS", "TYPES", "add_noise", "add_noise_defaults", "make_manifest"]
logger = logging.getLogger(__name__)

VAL_STREAM = zlib.crc32(b"val")  # the validation set's draws


def add_noise(cfg: CfgNode, dataset: DatasetBase) -> DatasetBase:
    """The dataset with the noise of `cfg.DATASET.NOISE` in its training list; unchanged without noise.

    Class names and their number stay those of the clean split. Raises InputError for an unknown type, a rate outside
    [0, 1), a set of one class, and a manifest that does not fit.
    """
    noise = cfg.DATASET.get("NOISE")
    if noise is None:
        return dataset
    made = bool(noise.TYPE or noise.MANIFEST)
    if noise.get("VAL", False) and not made:
        raise InputError("DATASET.NOISE.VAL is True, but there is no noise; set DATASET.NOISE.TYPE and RATE too.")
    warn_of_idle(noise)
    if not made and not has_real_noise(dataset):
        return dataset
    folder = getattr(dataset, "image_dir", "") or os.path.commonpath([i.impath for i in dataset.train_x])
    if noise.MANIFEST:
        check_trainable(cfg.DATASET.NAME, dataset)
        manifest = read_manifest(noise.MANIFEST)
        check_fits(manifest, _about(cfg, dataset), noise.MANIFEST)
        if noise.get("VAL", False) and not manifest.val:
            raise InputError(f"DATASET.NOISE.VAL is True, but {noise.MANIFEST} has no noise for the validation set.")
    else:
        manifest = make_manifest(cfg, dataset, folder) if made else real_manifest(_about(cfg, dataset), dataset, folder)
        _keep(manifest, getattr(dataset, "dataset_dir", ""))
    if made and has_real_noise(dataset):
        text = "%s's labels come from the web and may be wrong already; the added noise treats them as true."
        logger.warning(text, cfg.DATASET.NAME)
    if made:
        domains = {item.impath: item.domain for item in (*dataset.train_x, *(dataset.val or []))}
        val = manifest.val_list(folder, domains) if manifest.val else None
        dataset.replace_items(train_x=manifest.train_list(folder, domains), val=val)
    else:
        mark_items(dataset, manifest)
    stats = manifest.stats()
    dataset.noise = {**manifest.noise, "sha256": manifest.sha256, **{k: stats[k] for k in ("flipped", "realised_rate")}}
    _log(manifest, stats)
    return dataset


def warn_of_idle(noise: CfgNode) -> None:
    """Warn of noise settings without effect: a seed without a type, IDN.* with another type."""
    idle = [] if noise.TYPE else [N + "SEED"]
    idle += [] if noise.TYPE == "idn" else [key for key in CONFIG_DEFAULTS if key.startswith(N + "IDN.")]
    for key in idle:
        node = noise.get("IDN", {}) if ".IDN." in key else noise
        if node.get(key.rpartition(".")[2], CONFIG_DEFAULTS[key]) != CONFIG_DEFAULTS[key]:
            logger.warning("Warning: %s has no effect with DATASET.NOISE.TYPE %r", key, noise.TYPE)


def _log(manifest: Manifest, stats: dict) -> None:
    noise = manifest.noise
    if noise["type"] == REAL:
        counts = noise["params"]["looked_at"], noise["params"]["wrong"]
        logger.info(
            "Real-world label noise: of %d labels %d were verified, of which %d are wrong; manifest %s",
            stats["n"], *counts, manifest.sha256,
        )  # fmt: skip
        return
    logger.info(
        "Label noise %s at rate %g: %d of %d labels are wrong%s; manifest %s",
        noise["type"], noise["rate"], stats["flipped"], stats["n"],
        f", and of {len(manifest.val)} for validation" if manifest.val else "", manifest.sha256,
    )  # fmt: skip


WRAPPERS.append(add_noise)


def check_trainable(name: str, dataset: DatasetBase) -> None:
    """Raises InputError for a dataset that is for testing only: it has no training labels to make wrong."""
    if getattr(dataset, "test_only", False):
        raise InputError(
            f"{name} is for testing only, so there are no training labels for DATASET.NOISE to make wrong: train with "
            f"noise on {dataset.train_on or 'another dataset'}, and test without it."
        )


def make_manifest(cfg: CfgNode, dataset: DatasetBase, folder: str) -> Manifest:
    """The noise of `cfg` on the dataset's clean training list; `folder`: what paths are relative to."""
    check_trainable(cfg.DATASET.NAME, dataset)
    noise, classes = cfg.DATASET.NOISE, len(dataset.classnames)
    for key in ("TYPE", "RATE"):
        check_value(N + key, noise[key], CONFIG_DOMAINS[N + key])
    if getattr(dataset, "test_only", False):
        raise InputError(f"{cfg.DATASET.NAME} is for testing only: it has no training labels that noise could change.")
    if classes < 2:
        raise InputError("Label noise needs at least two classes: with one, no label can be wrong.")
    about = _about(cfg, dataset)
    seed = max(cfg.SEED, 0) if noise.SEED < 0 else noise.SEED
    generator = partial(noise_generator, about["dataset"], about["shots"], about["split_seed"], noise.TYPE, seed)
    params = {k: noise.IDN[k] for k in ("FEATURE", "STD", "TEMP")} if noise.TYPE == "idn" else {}
    val = []
    if noise.TYPE in SWAPS:
        items = _swapped(dataset, folder, noise, generator(), about)
    else:
        items = _relabelled(dataset.train_x, dataset.classnames, folder, noise, generator(), generator)
    facts = {"type": noise.TYPE, "rate": float(noise.RATE), "seed": seed, "params": params}
    if noise.get("VAL", False):
        if noise.TYPE in SWAPS or not dataset.val:
            why = f"{noise.TYPE} has no form for it" if dataset.val else f"{about['dataset']} has none"
            raise InputError(f"DATASET.NOISE.VAL asks for noise in the validation set, but {why}; leave it out.")
        val = _relabelled(dataset.val, dataset.classnames, folder, noise, generator(VAL_STREAM), generator)
        facts["val"] = True
    return Manifest(**about, noise=facts, items=items, val=val)


def _relabelled(
    items: list[Datum], classnames: list[str], folder: str, noise, draws, class_generator: Callable
) -> list[NoisyItem]:
    """Changes labels. draws: the generator of this list; class_generator(t): that of class t, shared by all lists."""
    clean = [(_relative(item, folder), item.label) for item in items]
    order = sorted(range(len(clean)), key=lambda i: (clean[i][1], clean[i][0]))  # the order of the draws
    labels, extra = np.array([clean[i][1] for i in order]), {}
    if noise.TYPE == "idn":
        paths = [items[i].impath for i in order]
        extra = {
            "features": partial(image_features, paths, noise.IDN.FEATURE),
            "class_generator": class_generator,
            "std": noise.IDN.STD,
            "temperature": noise.IDN.TEMP,
        }
    elif noise.TYPE == "asym_semantic":
        extra = {"similarity": partial(class_similarity, classnames)}
    wrong = LABEL_MODELS[noise.TYPE](labels, len(classnames), noise.RATE, draws, **extra)
    noisy = dict(zip(order, wrong.tolist(), strict=True))
    return [NoisyItem(path, label, noisy[i]) for i, (path, label) in enumerate(clean)]


def _about(cfg: CfgNode, dataset: DatasetBase) -> dict:
    return {
        "dataset": cfg.DATASET.NAME,
        "classnames": list(dataset.classnames),
        "shots": cfg.DATASET.NUM_SHOTS,
        "split_seed": cfg.SEED if cfg.SEED >= 0 else base_seed(cfg),
        "subsample": cfg.DATASET.get("SUBSAMPLE_CLASSES", "all"),
    }


def _swapped(
    dataset: DatasetBase, folder: str, noise: CfgNode, generator: np.random.Generator, about: dict
) -> list[NoisyItem]:
    """Swaps images, keeps labels: the images come from the whole training pool, also for a few-shot sample."""
    pool: list[Datum] = getattr(dataset, "train_pool", None) or []
    if not pool or about["shots"] < 1:
        raise InputError(
            f"{noise.TYPE} swaps images among NUM_SHOTS images per class out of a larger training set; set "
            "DATASET.NUM_SHOTS, or take a type that changes labels (sym_other)."
        )
    by_class: dict[int, list[str]] = {c: [] for c in range(len(about["classnames"]))}
    for item in pool:
        by_class[item.label].append(_relative(item, folder))
    sizes = [len(by_class[c]) for c in by_class]
    wanted = (len(sizes), about["shots"], noise.RATE, sizes, generator)
    repeat = noise.TYPE == "fp_swap_repeat"
    plan = repeating_swap_plan(*wanted) if repeat else swap_plan(*wanted, noise.TYPE == "fp_swap_pair")
    return [NoisyItem(by_class[true][p], true, observed) for observed, row in enumerate(plan) for true, p in row]


def _relative(item: Datum, folder: str) -> str:
    return os.path.relpath(item.impath, folder).replace(os.sep, "/")


def _keep(manifest: Manifest, dataset_dir: str) -> None:
    """Save the manifest beside the dataset, if that folder can be written."""
    if not os.path.isdir(dataset_dir):
        return
    file = manifest.file(dataset_dir)
    try:
        if not file.is_file() or read_manifest(file).sha256 != manifest.sha256:
            manifest.write(file)
    except (OSError, InputError) as error:
        logger.info("The noise manifest cannot be saved (%s)", error)
