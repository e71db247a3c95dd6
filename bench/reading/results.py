"""Reads accuracies for the tables of base-to-new, cross-dataset and few-shot; `bench.reading.collect` reads all."""

from __future__ import annotations

import logging
import os
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dassl.utils import InputError
from interop.plugins.names import plain
from runs.config_names import PUBLISHED, UNTRAINED

from .accounts import Account, account
from .apart import Entry, labels
from .files import DAMAGE, damaged, find, open_record, percent
from .layout import Place, place, place_of, strange

logger = logging.getLogger(__name__)

PROTOCOLS = ("base2new", "cross_dataset", "few_shot")


@dataclass(frozen=True)
class Result:
    """One finished run. kind: base, new, source (the training set of a cross-dataset run), target or few_shot.

    method: the name in tables, with the settings that differ in brackets. trainer: the name without them."""

    kind: str
    method: str
    dataset: str  # its config's name
    name: str  # its name in results.json
    source: str  # the dataset of the training
    shots: int
    cfg: str
    seed: int
    accuracy: float
    trainer: str
    account: Account
    told: tuple[str, ...] = ()  # remarks that are always shown

    @property
    def protocol(self) -> str:
        return {"base": "base2new", "new": "base2new", "few_shot": "few_shot"}.get(self.kind, "cross_dataset")

    @property
    def cell(self) -> tuple:
        """A key that is equal for two runs with the same place in a table."""
        shots = self.shots if self.kind == "few_shot" else None
        return self.kind, self.method, self.dataset, self.source, shots, self.seed


def read(folder: Path, sentences: list[str] | None = None, without: Collection[str] = ()) -> list[Result]:
    """Every finished run of base-to-new, cross-dataset and few-shot whose layout starts at `folder`.

    The order is untrained methods, then README's order, then names. If a method ran with several configs, shots or
    other settings, so that a cell would have two values or a mean of different settings, its results are named with
    these. Label noise and attacks are always named. Sentences on this are appended to `sentences`, or logged without
    it. without: folders below `folder` whose results are left out. Raises InputError for a file that is no run's.
    """
    if not os.path.isdir(folder):
        return []
    output = os.path.abspath(folder)
    found, files = [], {}
    for below, file in find(folder):
        if below not in without and (result := _result(Path(file), below, output)):
            found.append(result)
            same = files.setdefault((*result.cell, result.shots, result.cfg), file)
            if same != file:
                raise InputError(f"{same} and {file} are results of one cell; name a folder that has one of the two.")
    said: list[str] = []
    found = _tell_apart(found, labels([_entry(r) for r in found], said))
    for sentence in said if sentences is None else ():
        logger.warning("%s", sentence)
    if sentences is not None:
        sentences += said
    return sorted(found, key=lambda r: (r.dataset, *method_order(r.method), r.shots, r.seed))


def method_order(method: str) -> tuple:
    """The key by which methods are sorted."""
    known = list(PUBLISHED)
    name = plain(method.partition(" (")[0])  # a checkout's own version stands beside ours
    return name not in UNTRAINED, known.index(name) if name in known else len(known), method


def _result(path: Path, below: str, output: str) -> Result | None:
    """The result of one file; None for another protocol. Raises InputError for a damaged file of these protocols."""
    try:
        record, config = open_record(path)
        where = place_of(record, below, output)
        if not _asked_for(where):
            return None
        own = account(path, record, config)
        accuracy = percent(record["results"], "accuracy") if record["results"] else None
        method, name, seed, half = (record[k] for k in ("trainer", "dataset", "seed", "subsample_classes"))
    except DAMAGE as error:
        if not _asked_for(place(below, output)):
            return None
        raise damaged(path, error) from error
    kind = where.part if where.protocol == "cross_dataset" else where.protocol
    if where.protocol == "base2new":
        kind = half if half in ("base", "new") else None
    if accuracy is None or kind is None:  # --no-train, or another half of the classes
        return None
    told = strange(where, own.dataset, own.half)
    about = (where.dataset, name, where.source, where.shots, where.cfg)
    return Result(kind, method, *about, seed, accuracy, method, own, told)


def _asked_for(where: Place | None) -> bool:
    return where is not None and where.protocol in PROTOCOLS and not where.variant


def _entry(r: Result) -> Entry:
    across = r.protocol == "cross_dataset"
    family = (r.protocol, r.method, r.cfg, r.shots, r.source if across else r.dataset)
    return Entry(
        f"{r.method} on {r.dataset} ({r.protocol})",
        family,
        (*family, r.kind, r.dataset),
        r.account,
        r.told,
        across=across,
    )


def _tell_apart(results: list[Result], told: Sequence[str]) -> list[Result]:
    cells = defaultdict(list)
    for r, label in zip(results, told, strict=True):
        cells[(*r.cell, label)].append(r)
    mixed = {(r.protocol, r.method) for rivals in cells.values() if len(rivals) > 1 for r in rivals}

    def named(r: Result, label: str) -> Result:
        shots = [] if r.kind == "few_shot" else [f"{r.shots} shots"]
        words = [r.cfg, *shots] if (r.protocol, r.method) in mixed else []
        words += [label] if label else []
        return replace(r, method=f"{r.method} ({', '.join(words)})") if words else r

    return [named(r, label) for r, label in zip(results, told, strict=True)]
