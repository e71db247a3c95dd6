"""Few-shot lists of others (DATASET.FEWSHOT_FILE): the training images that another project drew, and lists of ours.

Three forms: JSON lines, an object an image (2SFS publishes such); JSON, {"train": [...], "val": [...]} with paths or
records of a split file; and CoOp's pickles, of which nothing is run: each object in them is read as a bare record
(`dassl/utils/inert.py`). Paths may be absolute and of another machine: an image is known by the end of its path.
"""

from __future__ import annotations

import io
import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from dassl.data.datasets import Datum
from dassl.utils import InputError, MissingFileError
from dassl.utils.inert import InertUnpickler

from .lists import read_json_object, whole_number
from .splits import relative_paths

PATHS = ("impath", "image", "image_path", "img_path", "path", "file", "filename", "img")  # keys of a path in a line
PARTS = {"train": "train", "val": "val", "validation": "val"}
ENDINGS = (".jsonl", ".json", ".pkl", ".pickle")


class Listed(NamedTuple):
    """One image of a list. label, name: None where the list does not say them."""

    path: str
    label: int | None = None
    name: str | None = None


def listed_sample(
    file: str, shots: int, train: list[Datum], val: list[Datum], path_prefix: str
) -> tuple[list[Datum], list[Datum] | None]:
    """(train, val) items of a list, in its order; val is None if the list has none.

    InputError for a file that cannot be read, an image that is not in the split's training (or validation) part, one
    that has another label or name there, and other than `shots` images of a class.
    """
    parts = read_list(file)
    if not parts.get("train"):
        raise InputError(f"{file} lists no training images; give a few-shot list of this dataset.")
    sample = _found(parts["train"], train, path_prefix, file, "training")
    there, counts = Counter(x.label for x in train), Counter(x.label for x in sample)
    for item in train:
        if counts[item.label] != min(shots, there[item.label]):
            raise InputError(
                f"{file} lists {counts[item.label]} images of the class {item.classname!r}, but DATASET.NUM_SHOTS is "
                f"{shots}; set it to the list's number, or take another list."
            )
    return sample, _found(parts["val"], val, path_prefix, file, "validation") if parts.get("val") else None


def read_list(file: str) -> dict[str, list[Listed]]:
    """{part: its images} of a list, by the file's ending."""
    if not os.path.isfile(file):
        raise MissingFileError(f"DATASET.FEWSHOT_FILE is {file}, but there is no such file.")
    ending = os.path.splitext(file)[1].lower()
    if ending not in ENDINGS:
        raise InputError(f"DATASET.FEWSHOT_FILE {file} must end in one of {', '.join(ENDINGS)}.")
    if ending == ".jsonl":
        return _lines(file)
    found = read_json_object(file) if ending == ".json" else _pickled(file)
    return {part: [_listed(each, file) for each in _list(found.get(part), file)] for part in ("train", "val")}


def _lines(file: str) -> dict[str, list[Listed]]:
    parts: dict[str, list[Listed]] = defaultdict(list)
    with open(file, encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                found = json.loads(line)
            except ValueError as error:
                raise InputError(f"{file}, line {number}, is no JSON ({error}); fetch the file again.") from error
            part = found.get("split", "train") if isinstance(found, dict) else "train"
            if part in PARTS:  # images of the test are the split's
                parts[PARTS[part]].append(_listed(found, f"{file}, line {number},"))
    return dict(parts)


def _pickled(file: str) -> dict:
    try:
        found = InertUnpickler(io.BytesIO(Path(file).read_bytes())).load()
        if not isinstance(found, dict):
            raise ValueError("it holds no dict")
    except Exception as error:  # a damaged pickle raises nearly anything
        raise InputError(f"{file} cannot be read as one of CoOp's pickles ({error}); fetch it again.") from error
    return found


def _list(found: object, file: str) -> Sequence:
    if found is None:
        return []
    if not isinstance(found, (list, tuple)):
        raise InputError(f"{file}: 'train' and 'val' must be lists of images; fetch the file again.")
    return found


def _listed(found: object, where: str) -> Listed:
    """The image that a text, a record [path, label, name], an object of JSON or one of CoOp's objects stands for."""
    path, label, name = found, None, None
    if isinstance(found, (list, tuple)) and len(found) == 3:
        path, label, name = found
    elif isinstance(found, dict):
        path = next((found[key] for key in PATHS if key in found), None)
        label, name = found.get("label"), found.get("classname")
    elif not isinstance(found, str):  # Datum, of which only the attributes are there
        path, label, name = (getattr(found, f"_{key}", None) for key in ("impath", "label", "classname"))
    if not isinstance(path, str) or not path or (name is not None and not isinstance(name, str)):
        raise InputError(f"{where} has an entry without the path of an image ({', '.join(PATHS)}).")
    return Listed(path.replace("\\", "/"), None if label is None else whole_number(label), name)


def _found(listed: Iterable[Listed], items: list[Datum], path_prefix: str, file: str, part: str) -> list[Datum]:
    """The items that a list names, each once."""
    known = dict(zip(relative_paths(items, path_prefix), items, strict=True))
    sample, seen = [], set()
    for each in listed:
        words = each.path.split("/")
        ends = ("/".join(words[i:]) for i in range(len(words)))
        path = next((end for end in ends if end in known), None)
        if path is None:
            raise InputError(f"{file} lists {each.path}, which is none of the {part} images of this split.")
        item = known[path]
        if (each.label, each.name) != (None, None):
            same = each.name.replace("_", " ") == item.classname.replace("_", " ") if each.name else True
            if each.label not in (None, item.label) or not same:
                raise InputError(
                    f"{file}: {path} is of the class {each.name or each.label!r}, but of {item.classname!r} (label "
                    f"{item.label}) here; the list is of another split."
                )
        if path in seen:
            raise InputError(f"{file} lists {path} twice; fetch the file again.")
        seen.add(path)
        sample.append(item)
    return sample


def as_lines(train: Iterable[Datum], val: Iterable[Datum], path_prefix: str) -> str:
    """A list as JSON lines, with paths relative to `path_prefix`, which `listed_sample` reads."""
    lines = []
    for part, items in (("train", list(train)), ("val", list(val))):
        for path, x in zip(relative_paths(items, path_prefix), items, strict=True):
            lines.append(json.dumps({"split": part, "impath": path, "label": x.label, "classname": x.classname}))
    return "\n".join(lines) + "\n"
