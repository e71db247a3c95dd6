"""Split files (`split_zhou_<Name>.json`), how they are made where none exists, and the base/new halves."""

from __future__ import annotations

import logging
import math
import os
import random
from collections.abc import Iterable, Mapping, Sequence

from dassl.data.datasets import Datum
from dassl.utils import InputError, MissingFileError, listdir_nohidden, write_json

from .listing import check_text, class_folders
from .lists import PARTS, check_record, read_split_parts

logger = logging.getLogger(__name__)

COMPLETE = "complete the images or check DATASET.ROOT"


def known_item(impath: str, label: int, classname: str) -> Datum:
    """A Datum without the check that its file exists: for paths just listed, or without any images. It is ten times as
    fast, which matters for ImageNet's million images."""
    item = Datum.__new__(Datum)
    item._impath, item._label, item._domain, item._classname = impath, label, 0, classname
    return item


def make_items(
    records: Iterable[Sequence], path_prefix: str, origin: str, check_files: bool = True, mend: str = COMPLETE
) -> list[Datum]:
    """`[relative path, label, class name]` records to items, order kept. InputError for a malformed record, and for
    a missing image, with `mend`: what to do about it."""
    items = []
    look = check_files and os.environ.get("DASSL_SKIP_FILE_CHECK") != "1"
    for record in records:
        rel, label, classname = check_record(record, origin)
        path = os.path.join(path_prefix, rel)
        if look and not os.path.isfile(path):
            raise MissingFileError(f"{path} is listed in {origin} but does not exist; {mend}.")
        items.append(known_item(path, label, classname))
    return items


def read_split(
    filepath: str, path_prefix: str, check_files: bool = True, mend: str = "", complete: str = COMPLETE
) -> tuple[list[Datum], list[Datum], list[Datum]]:
    """(train, val, test) of a split file; its paths are relative to `path_prefix`. An absent part is empty.

    `check_files=False` reads it without the images being there. `mend` and `complete` say in messages what to do about
    a file that cannot be used, and about images that are not there.
    """
    logger.info("Reading split from %s", filepath)
    parts, note = read_split_parts(filepath, mend or "fetch it again")
    if note:
        logger.warning("WARNING: %s was %s: results are NOT comparable with published ones", filepath, note)
    train, val, test = (make_items(parts[part], path_prefix, filepath, check_files, complete) for part in PARTS)
    return train, val, test


def relative_paths(items: Iterable[Datum], path_prefix: str) -> list[str]:
    """The items' paths as a split file has them: below `path_prefix`, with forward slashes."""
    prefix = os.path.join(path_prefix, "")
    start = len(prefix)  # slicing is far faster than os.path.relpath
    paths = [path[start:] if path.startswith(prefix) else os.path.relpath(path, path_prefix)
             for path in [item.impath for item in items]]  # fmt: skip
    return paths if os.sep == "/" else [path.replace(os.sep, "/") for path in paths]


def save_split(
    train: list[Datum], val: list[Datum], test: list[Datum], filepath: str, path_prefix: str, note: str = ""
) -> None:
    """Write a split file. `note` marks a split that was generated here and is not the published one."""
    parts = zip(PARTS, (train, val, test), strict=True)
    split = {
        part: [[path, x.label, x.classname] for path, x in zip(relative_paths(items, path_prefix), items, strict=True)]
        for part, items in parts
    }
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
            raise InputError(
                f"class {name!r} has only {len(indices)} images, too few to take {p_val:.0%} for val: "
                f"{least((p_val,))} are needed; add some, or take the class out."
            )
        random.shuffle(indices)
        val += [trainval[i] for i in indices[:n_val]]
        train += [trainval[i] for i in indices[n_val:]]
    return train, val


def split_groups(
    groups: Iterable[tuple[str, list[Datum]]], p_trn: float = 0.5, p_val: float = 0.2
) -> tuple[list[Datum], list[Datum], list[Datum]]:
    """(train, val, test): each group (its name for messages, its items) is shuffled with `random` and cut in three."""
    percent = [p * 100 for p in (p_trn, p_val, 1 - p_trn - p_val)]
    logger.info("Splitting into %.0f%% train, %.0f%% val, and %.0f%% test", *percent)
    train, val, test = [], [], []
    for name, items in groups:
        random.shuffle(items)
        n_train, n_val = round(len(items) * p_trn), round(len(items) * p_val)
        if min(n_train, n_val, len(items) - n_train - n_val) <= 0:
            raise InputError(
                f"{name} holds {len(items)} images, too few to split in three: {least((p_trn, p_val))} are needed; "
                "add some, take the class out, or lay the images out as train and test folders."
            )
        train += items[:n_train]
        val += items[n_train : n_train + n_val]
        test += items[n_train + n_val :]
    return train, val, test


def least(shares: Sequence[float]) -> int | str:
    """How many images a class needs so that every share of them, and what remains, is at least one."""

    def enough(n: int) -> bool:
        counts = [round(n * share) for share in shares]
        return min(*counts, n - sum(counts)) > 0

    return next((n for n in range(2, 1000) if enough(n)), "more")


def read_and_split_data(
    image_dir: str,
    p_trn: float = 0.5,
    p_val: float = 0.2,
    ignored: Sequence[str] = (),
    new_cnames: Mapping[str, str] | None = None,
) -> tuple[list[Datum], list[Datum], list[Datum]]:
    """(train, val, test) from a folder with one sub-folder per class, drawn with the `random` module.

    Labels follow the sorted folder names; `new_cnames` renames folders to class names. Unlike upstream the files
    of a class are sorted before they are shuffled, so the split does not depend on the file system.
    """
    groups = []
    for label, folder in enumerate(class_folders(image_dir, ignored)):
        classname, path = (new_cnames or {}).get(folder, folder), os.path.join(image_dir, folder)
        files = listdir_nohidden(path, sort=True)
        for name in files:
            check_text(name, path)
        groups.append((path, [Datum(os.path.join(path, name), label, classname=classname) for name in files]))
    return split_groups(groups, p_trn, p_val)


def base_labels(items: Iterable[Datum]) -> list[int]:
    """The labels of the base classes: the first half of those that occur, the larger one if their number is odd."""
    labels = sorted({item.label for item in items})
    return labels[: math.ceil(len(labels) / 2)]


def subsample_classes(*args: list[Datum], subsample: str = "all") -> tuple | list:
    """Keep all, the first ("base") or the second half ("new") of the classes of every list, relabelled from 0.

    The halves are taken from the sorted labels of the *first* list; the base half is the larger one if their number
    is odd. "all" gives the arguments back unchanged (a tuple), else a list of new lists.
    """
    if subsample == "all":
        return args
    if subsample not in ("base", "new"):
        raise InputError(f'DATASET.SUBSAMPLE_CLASSES is {subsample!r}, but must be "all", "base" or "new".')
    labels, base = sorted({item.label for item in args[0]}), base_labels(args[0])
    selected = base if subsample == "base" else labels[len(base) :]
    if not selected:
        raise InputError(f"the dataset has {len(labels)} class, so there are no {subsample} classes.")
    logger.info("SUBSAMPLE %s CLASSES!", subsample.upper())
    relabel = {old: new for new, old in enumerate(selected)}
    return [  # files were checked when the items were made
        [known_item(x.impath, relabel[x.label], x.classname) for x in items if x.label in relabel] for items in args
    ]
