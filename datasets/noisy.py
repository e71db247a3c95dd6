"""Label noise on any dataset: the training list after few-shot sampling and class subsetting, never val or test.

DATASET.NOISE.TYPE sym_other DATASET.NOISE.RATE 0.5, for whichever method; or DATASET.NOISE.MANIFEST FILE. The noise
depends on dataset, shots, run seed, type and noise seed alone, so all methods meet the same wrong labels. A manifest
beside the dataset says which they are, and its hash is in the log and in results.json.
"""

from __future__ import annotations

import logging
import os
from functools import partial

import numpy as np

from dassl.data.datasets import Datum
from dassl.data.datasets.build import WRAPPERS
from dassl.utils import InputError, base_seed

from .noise_features import class_similarity, image_features
from .noise_manifest import Manifest, NoisyItem, check_fits, read_manifest
from .noise_models import LABEL_MODELS, noise_generator, swap_plan

logger = logging.getLogger(__name__)

SWAPS = ("fp_swap_sym", "fp_swap_pair")
TYPES = (*LABEL_MODELS, *SWAPS)
N = "DATASET.NOISE."
CONFIG_DEFAULTS = {
    N + "TYPE": "",  # one of TYPES; empty: clean
    N + "RATE": 0.0,
    N + "SEED": -1,  # negative: the run's
    N + "MANIFEST": "",  # a file in place of type, rate and seed
    N + "IDN.FEATURE": "pixel64",  # pixel64 | clip_vitb32
    N + "IDN.STD": 0.1,
    N + "IDN.TEMP": 1.0,
    # the field's own flags, which `take_aliases` turns into the above
    "DATASET.NOISE_LABEL": True,  # False: clean, whatever the rate says
    "DATASET.NOISE_TYPE": "",  # sym | asym | pair | idn
    "DATASET.NOISE_RATE": 0.0,
    "DATASET.NUM_FP": 0,  # images of other classes among the shots of each class
}
ALIASES = {"sym": "sym_other", "symmetric": "sym_other", "asym": "pair_next", "pair": "pair_next", "idn": "idn"}


def add_noise_defaults(cfg) -> None:
    """Adds the config keys of `CONFIG_DEFAULTS`."""
    for key, value in CONFIG_DEFAULTS.items():
        *path, leaf = key.split(".")
        node = cfg
        for part in path:
            if part not in node:
                node[part] = type(cfg)()
            node = node[part]
        node[leaf] = value


def take_aliases(cfg) -> None:
    """NOISE_TYPE, NOISE_RATE, NOISE_LABEL and NUM_FP become DATASET.NOISE.*, with a line that says to what.

    Raises InputError where both spellings are given, and for an unknown type.
    """
    dataset, noise = cfg.DATASET, cfg.DATASET.NOISE
    given = dataset.NOISE_TYPE or dataset.NOISE_RATE or dataset.NUM_FP
    if not given or not dataset.NOISE_LABEL:
        dataset.NOISE_TYPE, dataset.NOISE_RATE, dataset.NUM_FP, dataset.NOISE_LABEL = "", 0.0, 0, True
        return
    if noise.TYPE or noise.RATE or noise.MANIFEST:
        raise InputError("Label noise is given twice, as DATASET.NOISE.* and in the older spelling; leave one out.")
    if dataset.NUM_FP:
        if dataset.NUM_SHOTS < 1:
            raise InputError("DATASET.NUM_FP counts wrong images among DATASET.NUM_SHOTS; give that too.")
        pair = dataset.NOISE_TYPE in ("asym", "pair", "pairflip")
        noise.TYPE, noise.RATE = SWAPS[pair], dataset.NUM_FP / dataset.NUM_SHOTS
    else:
        kind = dataset.NOISE_TYPE or "sym"
        noise.TYPE, noise.RATE = ALIASES.get(kind, kind), dataset.NOISE_RATE
    dataset.NOISE_TYPE, dataset.NOISE_RATE, dataset.NUM_FP = "", 0.0, 0
    logger.info("Label noise: DATASET.NOISE.TYPE %s, DATASET.NOISE.RATE %g", noise.TYPE, noise.RATE)


def add_noise(cfg, dataset):
    """The dataset with the noise of `cfg.DATASET.NOISE` in its training list; itself where there is none.

    Class names and their number stay those of the clean split. Raises InputError for an unknown type, a rate outside
    [0, 1), a set of one class, and a manifest that does not fit.
    """
    noise = cfg.DATASET.get("NOISE")
    if noise is None or not (noise.TYPE or noise.MANIFEST):
        return dataset
    folder = getattr(dataset, "image_dir", "") or os.path.commonpath([i.impath for i in dataset.train_x])
    if noise.MANIFEST:
        manifest = read_manifest(noise.MANIFEST)
        check_fits(manifest, _about(cfg, dataset), noise.MANIFEST)
    else:
        manifest = make_manifest(cfg, dataset, folder)
        _keep(manifest, getattr(dataset, "dataset_dir", ""))
    dataset._train_x = manifest.train_list(folder, {item.impath: item.domain for item in dataset.train_x})
    stats = manifest.stats()
    dataset.noise = {**manifest.noise, "sha256": manifest.sha256, **{k: stats[k] for k in ("flipped", "realised_rate")}}
    logger.info(
        "Label noise %s at rate %g: %d of %d labels are wrong; manifest %s",
        manifest.noise["type"], manifest.noise["rate"], stats["flipped"], stats["n"], manifest.sha256,
    )  # fmt: skip
    return dataset


WRAPPERS.append(add_noise)


def make_manifest(cfg, dataset, folder: str) -> Manifest:
    """The noise of `cfg` on the dataset's clean training list; `folder`: what paths are relative to."""
    noise, classes = cfg.DATASET.NOISE, len(dataset.classnames)
    if noise.TYPE not in TYPES:
        raise InputError(f"DATASET.NOISE.TYPE is {noise.TYPE!r}, but must be one of {', '.join(TYPES)}.")
    if not 0 <= noise.RATE < 1:
        raise InputError(f"DATASET.NOISE.RATE is {noise.RATE}, but must be at least 0 and below 1.")
    if classes < 2:
        raise InputError("Label noise needs at least two classes: with one, no label can be wrong.")
    about = _about(cfg, dataset)
    seed = max(cfg.SEED, 0) if noise.SEED < 0 else noise.SEED
    generator = partial(noise_generator, about["dataset"], about["shots"], about["split_seed"], noise.TYPE, seed)
    params = {k: noise.IDN[k] for k in ("FEATURE", "STD", "TEMP")} if noise.TYPE == "idn" else {}
    clean = [(_relative(item, folder), item.label) for item in dataset.train_x]
    if noise.TYPE in SWAPS:
        items = _swapped(dataset, folder, noise, generator(), about)
    else:
        order = sorted(range(len(clean)), key=lambda i: (clean[i][1], clean[i][0]))  # draws in an order of their own
        labels = np.array([clean[i][1] for i in order])
        extra = {}
        if noise.TYPE == "idn":
            paths = [dataset.train_x[i].impath for i in order]
            extra = {
                "features": partial(image_features, paths, noise.IDN.FEATURE),
                "class_generator": generator,
                "std": noise.IDN.STD,
                "temperature": noise.IDN.TEMP,
            }
        elif noise.TYPE == "asym_semantic":
            extra = {"similarity": partial(class_similarity, dataset.classnames)}
        wrong = LABEL_MODELS[noise.TYPE](labels, classes, noise.RATE, generator(), **extra)
        noisy = dict(zip(order, wrong.tolist(), strict=True))
        items = [NoisyItem(path, label, noisy[i]) for i, (path, label) in enumerate(clean)]
    facts = {"type": noise.TYPE, "rate": float(noise.RATE), "seed": seed, "params": params}
    return Manifest(**about, noise=facts, items=items)


def _about(cfg, dataset) -> dict:
    return {
        "dataset": cfg.DATASET.NAME,
        "classnames": list(dataset.classnames),
        "shots": cfg.DATASET.NUM_SHOTS,
        "split_seed": cfg.SEED if cfg.SEED >= 0 else base_seed(cfg),
        "subsample": cfg.DATASET.get("SUBSAMPLE_CLASSES", "all"),
    }


def _swapped(dataset, folder: str, noise, generator, about: dict) -> list[NoisyItem]:
    """Labels stay, images are swapped: from the whole training pool, of which the few shots are a sample."""
    pool: list[Datum] = getattr(dataset, "train_pool", None) or []
    if not pool or about["shots"] < 1:
        raise InputError(
            f"{noise.TYPE} swaps images among NUM_SHOTS images a class out of a larger training set; set "
            "DATASET.NUM_SHOTS, or take a type that changes labels (sym_other)."
        )
    by_class: dict[int, list[str]] = {c: [] for c in range(len(about["classnames"]))}
    for item in pool:
        by_class[item.label].append(_relative(item, folder))
    sizes = [len(by_class[c]) for c in by_class]
    plan = swap_plan(len(sizes), about["shots"], noise.RATE, sizes, generator, noise.TYPE == "fp_swap_pair")
    return [NoisyItem(by_class[true][p], true, observed) for observed, row in enumerate(plan) for true, p in row]


def _relative(item: Datum, folder: str) -> str:
    return os.path.relpath(item.impath, folder).replace(os.sep, "/")


def _keep(manifest: Manifest, dataset_dir: str) -> None:
    """Beside the dataset, where that can be written."""
    if not os.path.isdir(dataset_dir):
        return
    file = manifest.file(dataset_dir)
    try:
        if not file.is_file() or read_manifest(file).sha256 != manifest.sha256:
            manifest.write(file)
    except (OSError, InputError) as error:
        logger.info("The noise manifest is not kept (%s)", error)
