"""Few-shot samples: upstream's draws from a private stream, kept in a small JSON file beside the dataset.

Upstream keeps pickles with absolute paths under `shot_<K>-seed_<S>.pkl`; they are not looked for here, and none is
written, but DATASET.FEWSHOT_FILE reads one (`fewshot_file.py`).
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections import Counter

from yacs.config import CfgNode

from dassl.data.datasets import DatasetBase, Datum
from dassl.utils import InputError, base_seed, read_json, seeded, write_json

from .fewshot_file import listed_sample
from .splits import relative_paths

logger = logging.getLogger(__name__)


def fewshot(
    dataset: DatasetBase, train: list[Datum], val: list[Datum], cfg: CfgNode, dataset_dir: str, path_prefix: str
) -> tuple[list[Datum], list[Datum]]:
    """(train, val) with `cfg.DATASET.NUM_SHOTS` = K items a class, and min(K, 4) for validation.

    K < 1 gives both back untouched. Otherwise the draws are those upstream makes right after seeding with
    `cfg.SEED`: train first, then val, over *all* classes. The global `random` stream is left as it was.

    With `cfg.DATASET.FEWSHOT_FILE` the images are those of that list, and val too if the list has some.
    """
    shots = cfg.DATASET.NUM_SHOTS
    listed = str(getattr(cfg.DATASET, "FEWSHOT_FILE", "") or "")
    if shots < 1 and listed:
        raise InputError(
            f"DATASET.FEWSHOT_FILE is {listed}, but DATASET.NUM_SHOTS is {shots}; set it to the number of images a "
            "class that the list has."
        )
    if shots < 1:
        return train, val
    if listed:
        listed = os.path.expanduser(listed.replace("{seed}", str(cfg.SEED)).replace("{shots}", str(shots)))
        sample, of_list = listed_sample(listed, shots, train, val, path_prefix)
        logger.info("Taking the %d-shot sample from %s", shots, listed)
        return sample, _drawn(dataset, train, val, cfg)[1] if of_list is None else of_list
    warn_of_small_classes(train, shots)
    sha = split_hash(train, val, path_prefix)
    # The sample of an unseeded run is not kept: the next run shall draw anew.
    file = os.path.join(dataset_dir, "split_fewshot", f"shot_{shots}-seed_{cfg.SEED}.json") if cfg.SEED >= 0 else ""
    kept = load_sample(file, sha, shots, train, val, path_prefix)
    if kept is not None:
        return kept
    sample, val_sample = _drawn(dataset, train, val, cfg)
    save_sample(file, sha, sample, val_sample, path_prefix)
    return sample, val_sample


def _drawn(dataset: DatasetBase, train: list[Datum], val: list[Datum], cfg: CfgNode) -> tuple[list[Datum], list[Datum]]:
    shots = cfg.DATASET.NUM_SHOTS
    with seeded(base_seed(cfg)):
        sample = dataset.generate_fewshot_dataset(train, num_shots=shots)
        return sample, dataset.generate_fewshot_dataset(val, num_shots=min(shots, 4)) if val else []


def warn_of_small_classes(train: list[Datum], shots: int) -> None:
    """One line if some classes hold fewer than `shots` training images (all of theirs are used)."""
    counts = Counter((item.label, item.classname) for item in train)
    small = {key: n for key, n in counts.items() if n < shots}
    if small:
        (_, name), least = min(small.items(), key=lambda pair: (pair[1], pair[0]))
        logger.warning(
            "Warning: %d of %d classes hold fewer than %d training images (%r holds %d); all of theirs are used",
            len(small), len(counts), shots, name, least,
        )  # fmt: skip


def split_hash(train: list[Datum], val: list[Datum], path_prefix: str) -> str:
    """sha256 over what is sampled from: relative paths and labels of train and val, in order."""
    records = [[relative_paths(items, path_prefix), [x.label for x in items]] for items in (train, val)]
    return hashlib.sha256(json.dumps(records).encode()).hexdigest()


def save_sample(file: str, sha: str, train: list[Datum], val: list[Datum], path_prefix: str) -> None:
    """Write the sample atomically. Without an error if the dataset's folder cannot be written."""
    if not file:
        return
    paths = {part: relative_paths(items, path_prefix) for part, items in (("train", train), ("val", val))}
    try:
        write_json({"split_sha256": sha, **paths}, file)
    except OSError as error:
        logger.info("The few-shot sample cannot be saved (%s)", error)


def load_sample(
    file: str, sha: str, shots: int, train: list[Datum], val: list[Datum], path_prefix: str
) -> tuple[list[Datum], list[Datum]] | None:
    """The kept sample, or None if there is none or it belongs to another split."""
    if not file or not os.path.isfile(file):
        return None
    try:
        kept = read_json(file)
        if kept["split_sha256"] != sha:
            raise ValueError("the split has changed since")
        sample = tuple(
            [known[path] for path in kept[part]]
            for part, known in (
                ("train", dict(zip(relative_paths(train, path_prefix), train, strict=True))),
                ("val", dict(zip(relative_paths(val, path_prefix), val, strict=True))),
            )
        )
        for items, drawn, most in ((train, sample[0], shots), (val, sample[1], min(shots, 4))):
            there, kept_of = (Counter(item.label for item in part) for part in (items, drawn))
            whole = {label: min(count, most) for label, count in there.items()}
            if kept_of != whole or len({item.impath for item in drawn}) < len(drawn):
                raise ValueError("it has another number of images of a class")
    except (OSError, ValueError, KeyError, TypeError) as error:
        logger.info("Few-shot sample %s is drawn anew: %s", file, error)
        return None
    logger.info("Loading the %d-shot sample from %s", shots, file)
    return sample
