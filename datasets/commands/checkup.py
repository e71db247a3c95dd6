"""Checks one dataset: files, split, counts, class names, images."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from dassl.utils import InputError

from ..base import SplitDataset
from ..reading.catalog import Entry, make_cfg, quiet
from ..reading.images import unreadable
from ..reading.lists import PARTS, check_items, check_record, read_split_parts, same_names
from ..reading.split_hashes import SPLIT_SHA256
from ..reading.splits import known_item

Records = dict[str, list[tuple[str, int, str]]]  # part -> (absolute path, label, class name)


@dataclass
class Finding:
    """The result for a dataset. `counts`, `published`: classes, train, val, test. `unreadable`: None if not checked."""

    stem: str
    folder: Path
    state: str = "ok"  # ok | problems | absent
    counts: tuple[int, ...] | None = None
    published: tuple[int, ...] | None = None
    unreadable: int | None = None
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    lacks: bool = False  # something is missing that `prepare` fetches, or explains how to get

    def lack(self, sentence: str) -> None:
        """Adds a problem that `python -m datasets prepare` solves, or explains how to solve."""
        self.problems.append(sentence)
        self.lacks = True


def examine(entry: Entry, root: str | Path, quick: bool = False, workers: int | None = None) -> Finding:
    """Check one dataset under `root`; `quick` does not open images. Writes only the listings that loaders keep."""
    loader, folder = entry.loader, entry.folder(root)
    finding = Finding(entry.stem, folder, published=loader.sizes and tuple(loader.sizes))
    if not os.path.isdir(folder):
        finding.state = "absent"
        finding.lack(f"it is expected in {folder}, which does not exist.")
        return finding
    for path, source in loader.needs.items():
        if not (folder / path).exists():
            finding.lack(f"{os.path.normpath(folder / path)} is missing: {source}.")
    records = _records(entry, root, folder, finding)
    if records:
        _check_counts(finding, records)
        _check_names(finding, records)
        _check_images(finding, records, folder / loader.image_dir, quick, workers)
    finding.state = "problems" if finding.problems else "ok"
    return finding


def _records(entry: Entry, root: str | Path, folder: Path, finding: Finding) -> Records | None:
    """All items, also those without an image; None if they cannot be read. Problems are added to the finding."""
    loader = entry.loader
    if not loader.split_file or loader.load_items is not SplitDataset.load_items:
        return _ask_loader(entry, root, finding)
    file = folder / loader.split_file
    if not os.path.isfile(file):
        # The loader would make a split of its own, under which no published number can be compared.
        finding.lack(f"{file} is missing, and training would make another one: its results are not comparable.")
        return None
    base = str(folder / loader.image_dir)
    try:
        split, note = read_split_parts(str(file), "delete it")
        records = {
            part: [(os.path.normpath(f"{base}/{path}"), label, name) for path, label, name in _checked(rows, file)]
            for part, rows in split.items()
            if rows
        }
    except InputError as error:
        finding.lack(str(error))
        return None
    if loader.test_only:
        records = dict.fromkeys(("train", "test"), records.get("test", []))
    items = {id(rows): [known_item(*row) for row in rows] for rows in records.values()}
    try:
        check_items(*(items.get(id(records.get(part)), []) for part in PARTS), str(file))
    except InputError as error:
        finding.lack(str(error))
    if not records.get("train") or not records.get("test"):
        return None
    if note:
        finding.lack(f"{file} was {note}: results are not comparable; delete it.")
    elif SPLIT_SHA256.get(entry.name, split_sha256(split)) != split_sha256(split):
        finding.lack(
            f"{file} lists other items than CoOp's file (another program may have generated it): results are not "
            "comparable; delete it."
        )
    return records


def _checked(rows: list, file: Path) -> list[tuple[str, int, str]]:
    return [check_record(row, str(file)) for row in rows]


def split_sha256(split: dict) -> str:
    """sha256 of the items of a split file, independent of its white space."""
    parts = [split.get(part, []) for part in PARTS]
    return hashlib.sha256(json.dumps(parts, separators=(",", ":")).encode()).hexdigest()


def _ask_loader(entry: Entry, root: str | Path, finding: Finding) -> Records | None:
    """The items that the loader gives, which stops at the first problem."""
    try:
        with quiet():
            data = entry.loader(make_cfg(entry, root))
    except InputError as error:
        if not finding.problems:  # the loader's error would repeat a known problem
            finding.problems.append(str(error))
        return None
    val = [] if data.val is data.test else data.val or []  # ImageNet has one set for both
    parts = {"train": data.train_x, "val": val, "test": data.test}
    return {part: [(x.impath, x.label, x.classname) for x in items] for part, items in parts.items()}


def _check_counts(finding: Finding, records: Records) -> None:
    labels = {label for part in records.values() for _, label, _ in part}
    finding.counts = (len(labels), *(len(records.get(part, [])) for part in PARTS))
    if finding.published and finding.counts != finding.published:
        pairs = zip(("classes", *PARTS), finding.counts, finding.published, strict=True)
        wrong = [f"{n} {what} instead of {wanted}" for what, n, wanted in pairs if n != wanted]
        finding.problems.append(f"the numbers differ from the published ones: {', '.join(wrong)}.")


def _check_names(finding: Finding, records: Records) -> None:
    """Space before or after a name is a problem; two labels with one name are a note."""
    names = {label: name for part in records.values() for _, label, name in part}
    for label, name in sorted(names.items()):
        if name != name.strip():
            finding.problems.append(f"the name of label {label} is {name!r}.")
    labels = sorted(names)
    for name, several in same_names([names[label] for label in labels]).items():
        finding.notes.append(f"labels {', '.join(str(labels[i]) for i in several)} are all called {name!r}.")


def _check_images(finding: Finding, records: Records, image_dir: Path, quick: bool, workers: int | None) -> None:
    paths = list(dict.fromkeys(path for part in records.values() for path, _, _ in part))
    if not os.path.isdir(image_dir):
        if not any(str(image_dir) in problem for problem in finding.problems):
            finding.lack(f"the images are missing: {image_dir} does not exist.")
        return
    present = [path for path in paths if os.path.isfile(path)]
    if len(present) < len(paths):
        gone = next(path for path in paths if not os.path.isfile(path))
        finding.lack(f"{len(paths) - len(present)} of {len(paths)} images are missing, such as {gone}.")
    if present and not quick:
        broken = unreadable(present, f"reading {finding.stem}", workers)
        finding.unreadable = len(broken)
        finding.problems += broken.values()
