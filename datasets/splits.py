"""Split files (`split_zhou_<Name>.json`), how they are made where none exists, and the base/new halves."""

from __future__ import annotations

import logging
import math
import os
import random
import warnings
from collections.abc import Iterable, Mapping, Sequence

from dassl.data.datasets import Datum
from dassl.utils import InputError, MissingFileError, listdir_nohidden, read_json, write_json

logger = logging.getLogger(__name__)

PARTS = ("train", "val", "test")


def make_items(records: Iterable[Sequence], path_prefix: str, origin: str) -> list[Datum]:
    """`[relative path, label, class name]` records to items, order kept. InputError names a missing image."""
    items = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Datum warns and asserts; one sentence says it better
        for record in records:
            try:
                rel, label, classname = record
                path, label = os.path.join(path_prefix, rel), int(label)
            except (TypeError, ValueError):
                raise InputError(f"{origin}: {record!r} is not [relative path, label, class name].") from None
            try:
                items.append(Datum(impath=path, label=label, classname=str(classname)))
            except AssertionError:
                raise MissingFileError(
                    f"{path} is listed in {origin} but does not exist; complete the images or check DATASET.ROOT."
                ) from None
    return items


def read_split(filepath: str, path_prefix: str) -> tuple[list[Datum], list[Datum], list[Datum]]:
    """(train, val, test) of a split file; its paths are relative to `path_prefix`. An absent part is empty."""
    logger.info("Reading split from %s", filepath)
    try:
        split = read_json(filepath)
        records, note = [split.get(part, []) for part in PARTS], split.get("note")
    except (ValueError, AttributeError) as error:
        raise InputError(f"{filepath} is not a split file ({error}); fetch it again.") from error
    if note:
        logger.warning("WARNING: %s was %s: results are NOT comparable with published ones", filepath, note)
    train, val, test = (make_items(part, path_prefix, filepath) for part in records)
    return train, val, test


def relative_path(item: Datum, path_prefix: str) -> str:
    """The item's path as a split file has it: below `path_prefix`, with forward slashes."""
    prefix = os.path.join(path_prefix, "")
    inside = item.impath.startswith(prefix)  # the common case, and far quicker than relpath
    rel = item.impath[len(prefix) :] if inside else os.path.relpath(item.impath, path_prefix)
    return rel.replace(os.sep, "/")


def save_split(
    train: list[Datum], val: list[Datum], test: list[Datum], filepath: str, path_prefix: str, note: str = ""
) -> None:
    """Write a split file. `note` marks a split that was generated here and is not the published one."""
    parts = zip(PARTS, (train, val, test), strict=True)
    split = {part: [[relative_path(x, path_prefix), x.label, x.classname] for x in items] for part, items in parts}
    write_json({"note": note, **split} if note else split, filepath)
    logger.info("Saved split to %s", filepath)


def _by_label(items: list[Datum]) -> dict[int, list[int]]:
    """Indices of each label, labels in order of first appearance."""
    groups: dict[int, list[int]] = {}
    for index, item in enumerate(items):
        groups.setdefault(item.label, []).append(index)
    return groups


def split_trainval(trainval: list[Datum], p_val: float = 0.2) -> tuple[list[Datum], list[Datum]]:
    """(train, val): `p_val` of each class, drawn with the `random` module, becomes validation data."""
    logger.info("Splitting trainval into %.0f%% train and %.0f%% val", (1 - p_val) * 100, p_val * 100)
    train, val = [], []
    for indices in _by_label(trainval).values():
        n_val = round(len(indices) * p_val)
        if n_val == 0:
            name = trainval[indices[0]].classname
            raise InputError(f"class {name!r} has only {len(indices)} images, too few to take {p_val:.0%} for val.")
        random.shuffle(indices)
        val += [trainval[i] for i in indices[:n_val]]
        train += [trainval[i] for i in indices[n_val:]]
    return train, val


def read_and_split_data(
    image_dir: str,
    p_trn: float = 0.5,
    p_val: float = 0.2,
    ignored: Sequence[str] = (),
    new_cnames: Mapping[str, str] | None = None,
) -> tuple[list[Datum], list[Datum], list[Datum]]:
    """(train, val, test) from a folder with one sub-folder a class, drawn with the `random` module.

    Labels follow the sorted folder names; `new_cnames` renames folders to class names. Unlike upstream the files
    of a class are sorted before they are shuffled, so the split does not depend on the file system.
    """
    folders = [name for name in listdir_nohidden(image_dir, sort=True) if name not in ignored]
    folders = [name for name in folders if os.path.isdir(os.path.join(image_dir, name))]
    if not folders:
        raise InputError(f"{image_dir} has no class folders; put the images of each class into a folder of its own.")
    percent = [p * 100 for p in (p_trn, p_val, 1 - p_trn - p_val)]
    logger.info("Splitting into %.0f%% train, %.0f%% val, and %.0f%% test", *percent)
    train, val, test = [], [], []
    for label, folder in enumerate(folders):
        files = listdir_nohidden(os.path.join(image_dir, folder), sort=True)
        random.shuffle(files)
        n_train, n_val = round(len(files) * p_trn), round(len(files) * p_val)
        if min(n_train, n_val, len(files) - n_train - n_val) <= 0:
            raise InputError(f"{os.path.join(image_dir, folder)} holds {len(files)} images, too few to split in three.")
        classname = (new_cnames or {}).get(folder, folder)
        items = [Datum(os.path.join(image_dir, folder, name), label, classname=classname) for name in files]
        train += items[:n_train]
        val += items[n_train : n_train + n_val]
        test += items[n_train + n_val :]
    return train, val, test


def subsample_classes(*args: list[Datum], subsample: str = "all") -> tuple | list:
    """Keep all, the first ("base") or the second half ("new") of the classes of every list, relabelled from 0.

    The halves are taken from the sorted labels of the *first* list; the base half is the larger one if their number
    is odd. "all" gives the arguments back unchanged (a tuple), else a list of new lists.
    """
    if subsample == "all":
        return args
    if subsample not in ("base", "new"):
        raise InputError(f'DATASET.SUBSAMPLE_CLASSES is {subsample!r}, but must be "all", "base" or "new".')
    labels = sorted({item.label for item in args[0]})
    m = math.ceil(len(labels) / 2)
    selected = labels[:m] if subsample == "base" else labels[m:]
    if not selected:
        raise InputError(f"the dataset has {len(labels)} class, so there are no {subsample} classes.")
    logger.info("SUBSAMPLE %s CLASSES!", subsample.upper())
    relabel = {old: new for new, old in enumerate(selected)}
    return [
        [Datum(x.impath, relabel[x.label], classname=x.classname) for x in items if x.label in relabel]
        for items in args
    ]
