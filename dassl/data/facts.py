"""Hashes of the data that a run reads: a run resumes, or counts as finished, only on the same data."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from dassl.data.datasets.base_dataset import DatasetBase, Datum

LISTS = {"train": "train_x", "val": "val", "test": "test"}
WORDS = {"train": "training list", "val": "validation list", "test": "test list"}
SAMPLE = 64  # images whose content is hashed


def list_facts(items: Sequence[Datum] | None) -> dict:
    """{"count", "sha256"} of a list: 16 hex digits over (last two parts of the path, label). Same hash: same images.

    A name that is not UTF-8 is hashed as its bytes.
    """
    text = "\n".join(f"{'/'.join(Path(i.impath).parts[-2:])} {i.label}" for i in items or [])
    return {"count": len(items or []), "sha256": _hash(text.encode("utf-8", "surrogateescape"))}


def data_facts(dataset: DatasetBase) -> dict:
    """Facts of a dataset: `list_facts` of "train" (with noisy labels, if any), "val" and "test", a hash "classes" over
    the class names in order, and "pictures" over the content of up to 64 images, evenly spread over the lists."""
    lists = {part: list(getattr(dataset, name, None) or []) for part, name in LISTS.items()}
    names = "\n".join(map(str, getattr(dataset, "classnames", None) or []))
    return {
        **{part: list_facts(items) for part, items in lists.items()},
        "classes": _hash(names.encode("utf-8", "surrogateescape")),
        "pictures": _pictures([item.impath for items in lists.values() for item in items]),
    }


def image_paths(dataset: DatasetBase) -> dict[str, list[str]]:
    """{"train", "val", "test"} -> the paths of its images, in order."""
    return {part: [item.impath for item in getattr(dataset, name, None) or []] for part, name in LISTS.items()}


def difference(then: dict, now: dict) -> str:
    """What differs between two `data_facts`, in words; "" if nothing. Keys that one of them lacks are not compared.

    Beside the `data_facts`, "contents" may hold {part: a hash over the content of all images of that list}.
    """
    wrong = []
    for part, word in WORDS.items():
        if part in then and part in now and then[part] != now[part]:
            counts = _count(then[part]), _count(now[part])
            shown = f"{counts[0]} images then, {counts[1]} now" if counts[0] != counts[1] else "other images or labels"
            wrong.append(f"the {word} ({shown})")
    theirs, mine = then.get("contents") or {}, now.get("contents") or {}
    if not wrong:
        parts = [part for part in WORDS if part in theirs and part in mine and theirs[part] != mine[part]]
        wrong += [f"pictures of the {WORDS[part]}, whose names are the same" for part in parts]
    for part, word in (("classes", "the class names"), ("pictures", "pictures of the same names")):
        if then.get(part) and now.get(part) and then[part] != now[part] and not (part == "pictures" and wrong):
            wrong.append(word)
    return ", ".join(wrong)


def _count(facts: object) -> object:
    return facts.get("count") if isinstance(facts, dict) else "an unknown number of"


def _pictures(paths: list[str]) -> str:
    """Hash of the content of some of the files; "" where one cannot be read."""
    count = min(SAMPLE, len(paths))
    digest = hashlib.sha256()
    for k in range(count):
        try:
            digest.update(hashlib.sha256(Path(paths[k * len(paths) // count]).read_bytes()).digest())
        except OSError:
            return ""
    return digest.hexdigest()[:16]


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
