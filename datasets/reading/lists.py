"""Checks of image lists, shared by all readers: split files, annotation lists, class folders."""

from __future__ import annotations

import json
import logging
import numbers
import posixpath
import reprlib
from collections.abc import Iterable, Mapping, Sequence

from dassl.data.datasets import Datum
from dassl.data.same_files import also, file_id
from dassl.utils import InputError

from .listing import check_text

logger = logging.getLogger(__name__)

PARTS = ("train", "val", "test")
MOST_FILES = 200_000  # in larger sets images are identified by their paths, without a `stat` for each
RECORD = "[relative path, label, class name]"


def read_json_object(path: str, mend: str = "fetch it again") -> dict:
    """A JSON file that holds an object in which no key stands twice. InputError with `mend`, what to do about it."""

    def unique(pairs: list[tuple[str, object]]) -> dict:
        found = dict(pairs)
        if len(found) < len(pairs):
            keys = [key for key, _ in pairs]
            raise ValueError(f"the key {next(k for k in keys if keys.count(k) > 1)!r} stands there twice")
        return found

    try:
        with open(path, encoding="utf-8-sig") as file:
            found = json.load(file, object_pairs_hook=unique)
        if not isinstance(found, dict):
            raise ValueError("it holds no JSON object")
    except (OSError, ValueError, RecursionError) as error:
        what = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise InputError(f"{path} cannot be used ({what}); {mend}.") from error
    return found


def read_split_parts(path: str, mend: str = "fetch it again") -> tuple[dict[str, list], object]:
    """({part: records as they stand}, note) of a split file. A part that is absent or null is empty."""
    split = read_json_object(path, mend)
    parts = {part: [] if split.get(part) is None else split[part] for part in PARTS}
    for part, records in parts.items():
        if not isinstance(records, list):
            raise InputError(f"{path}: {part!r} is {reprlib.repr(records)}, but must be a list of {RECORD}; {mend}.")
    if unknown := sorted(set(split) - {*PARTS, "note"}):
        logger.warning("Warning: %s: %r is none of %s and is not read", path, unknown[0], ", ".join(PARTS))
    return parts, split.get("note")


def check_record(record: Sequence, origin: str) -> tuple[str, int, str]:
    """(path, label, class name) of a record; the path without detours (`./`, `a/../`).

    InputError unless the path stays below its folder, the label is a whole number, and the name is not blank.
    """

    def wrong(what: str) -> InputError:
        return InputError(f"{origin}: {reprlib.repr(record)} is not {RECORD}: {what}.")

    if not isinstance(record, (list, tuple)) or len(record) != 3:
        raise wrong("it does not have these three parts")
    path, label, name = record
    if not isinstance(path, str) or not path or "\0" in path:
        raise wrong(f"the path is {path!r}")
    if path[0] in "/." or "//" in path or "/." in path:
        tidy = posixpath.normpath(path)
        if posixpath.isabs(tidy) or tidy.split("/")[0] in ("..", "."):
            raise wrong("the path must lead from the folder of the images to a file below it")
        path = tidy
    number = whole_number(label)
    if number is None:
        raise wrong(f"the label is {label!r}, not a whole number")
    if not isinstance(name, str) or not name.replace("_", " ").strip():
        raise wrong(f"the class name is {name!r}, not a text")
    check_text(path, origin)
    check_text(name, origin)
    return path, number, name


def whole_number(value: object) -> int | None:
    """The value of 3, 3.0 or "3" as an int; None for anything else, such as True and 0.5."""
    if isinstance(value, bool):
        return None
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return int(value) if float(value).is_integer() else None
    if isinstance(value, str) and value.strip().lstrip("-").isdecimal() and len(value) < 20:
        return int(value) if value.strip().count("-") <= 1 else None
    return None


def check_items(
    train: list[Datum], val: list[Datum], test: list[Datum], origin: str, labels_may_differ: bool = False
) -> None:
    """InputError unless labels run from 0 without gaps, each with one name and at least one training image, and every
    image has one label and is not in both train and test (lists that are one and the same are fine). Links to one file
    are one image.

    labels_may_differ: an image may be listed under several labels (web data), which then is a warning.
    """
    names: dict[int, str] = {}
    for item in (*train, *val, *test):
        if names.setdefault(item.label, item.classname) != item.classname:
            raise InputError(f"{origin}: label {item.label} is called {names[item.label]!r} and {item.classname!r}.")
    if not train or not test:
        raise InputError(f"{origin}: there are no {'test' if train else 'training'} images; is the file complete?")
    check_labels(names, {item.label for item in train}, origin)
    _check_images({"train": train, "val": val, "test": test}, origin, labels_may_differ)


def check_labels(names: Mapping[int, str], with_images: set[int], origin: str) -> None:
    """InputError unless the labels of both are 0, 1, 2 ... A label may be large (a date, an ID), so no array is indexed
    by it."""
    gap = next((i for i, label in enumerate(sorted(with_images)) if i != label), len(with_images))
    label = min(names) if min(names) < 0 else gap
    if label < 0 or max(names) >= gap:
        name = f"class {names[label]!r}" if label in names else "a class without a name"
        raise InputError(
            f"{origin}: {name} (label {label}) has no training image, and labels (here up to {max(names)}) must run "
            "from 0 without gaps; add an image, or take the class out."
        )


def _check_images(parts: Mapping[str, list[Datum]], origin: str, labels_may_differ: bool) -> None:
    first: dict[object, tuple[int, str, str]] = {}
    again: list[tuple[object, str, str, str]] = []
    identity = file_id if sum(map(len, parts.values())) <= MOST_FILES else str
    for part, items in parts.items():
        if part != "train" and items is parts["train"]:
            continue  # a set for testing only
        for item in items:
            check_text(item.impath, origin)
            file = identity(item.impath)
            label, where, path = first.setdefault(file, (item.label, part, item.impath))
            if label != item.label and not labels_may_differ:
                raise InputError(
                    f"{origin}: {also(item.impath, path)} is listed under two labels, {label} and {item.label}; keep "
                    "the right one."
                )
            if (where, part) == ("train", "test"):
                raise InputError(
                    f"{origin}: {also(item.impath, path)} is in both train and test, so the test would be on training "
                    "images; take it out of one."
                )
            again.append((file, item.impath, where, part))
    count = len(again) - len(first)
    if count:
        _, path, where, part = _first_repeated(again)
        logger.warning(
            "Warning: %s lists %d images more than once, such as %s (in %s and in %s)",
            origin, count, path, where, part,
        )  # fmt: skip


def _first_repeated(entries: Iterable[tuple[object, str, str, str]]) -> tuple[object, str, str, str]:
    seen = set()
    return next(entry for entry in entries if entry[0] in seen or seen.add(entry[0]))


def same_names(names: Sequence[str]) -> dict[str, list[int]]:
    """{name: labels} of the names that several classes have, as prompts have them: without underscores and capitals."""
    groups: dict[str, list[int]] = {}
    for label, name in enumerate(names):
        groups.setdefault(" ".join(name.replace("_", " ").split()).lower(), []).append(label)
    return {name: labels for name, labels in groups.items() if len(labels) > 1}


def warn_of_same_names(names: Sequence[str], origin: str) -> None:
    """One line if several classes have one name: their prompts are one too, and only one of them is ever predicted."""
    if same := same_names(names):
        name, labels = next(iter(same.items()))
        logger.warning(
            "Warning: %s: %d names are shared by several classes, such as %r by labels %s: their prompts are the "
            "same, so images of all but one of these classes count as wrong; give each class a name of its own",
            origin, len(same), name, ", ".join(map(str, labels)),
        )  # fmt: skip
