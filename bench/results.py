"""Accuracies from the results.json files under an OUTPUT folder, by the layout of runs/protocols.py."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

from dassl.utils import InputError
from runs.config_names import PUBLISHED, UNTRAINED

# Protocol -> the paths of its runs below OUTPUT
LAYOUT = {
    "base2new": "base2new/*/*/shots_*/*/*/seed*/results.json",
    "source": "*/*/*_*shots/seed*/results.json",
    "target": "evaluation*/*/*_*shots/*/seed*/results.json",
    "few_shot": "few_shot/*/shots_*/*/*/seed*/results.json",
}


@dataclass(frozen=True)
class Result:
    """One finished run. `kind`: base, new, source (trained on it, for others), target (tested there) or few_shot."""

    kind: str
    method: str
    dataset: str  # its config's name
    name: str  # its name in results.json
    source: str  # what the method was trained on
    shots: int
    cfg: str
    seed: int
    accuracy: float

    @property
    def protocol(self) -> str:
        return {"base": "base2new", "new": "base2new", "few_shot": "few_shot"}.get(self.kind, "cross_dataset")

    @property
    def cell(self) -> tuple:
        """Two runs with the same cell compete for the same place of a table."""
        shots = self.shots if self.kind == "few_shot" else None
        return self.kind, self.method, self.dataset, self.source, shots, self.seed


def read(folder: Path) -> list[Result]:
    """Every finished run under `folder`, untrained methods first, then as README lists them, then by name.

    Where a method ran with several configs or shots, so that a table's cell would have two values, its rows say which.
    """
    found = [r for layout, pattern in LAYOUT.items() for path in folder.glob(pattern) if (r := _result(path, layout))]
    return sorted(_tell_apart(found), key=lambda r: (r.dataset, *method_order(r.method), r.shots, r.seed))


def method_order(method: str) -> tuple:
    """Sorting key of methods."""
    known = list(PUBLISHED)
    plain = method.partition(" (")[0]
    return plain not in UNTRAINED, known.index(plain) if plain in known else len(known), method


def _result(path: Path, layout: str) -> Result | None:
    try:
        record = json.loads(path.read_text())
        accuracy = record["results"]["accuracy"] if record["results"] else None
        method, name, seed, half = (record[k] for k in ("trainer", "dataset", "seed", "subsample_classes"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is not a run's results.json ({type(error).__name__}: {error}); take it away."
        ) from error
    if accuracy is None:
        return None  # --no-train
    part = path.parts
    if layout == "base2new":
        if half not in ("base", "new"):
            return None
        return Result(half, method, part[-6], name, part[-6], _shots(part[-5]), part[-3], seed, accuracy)
    if layout == "few_shot":
        return Result("few_shot", method, part[-6], name, part[-6], _shots(part[-5]), part[-3], seed, accuracy)
    cfg, _, shots = part[-3 if layout == "source" else -4].rpartition("_")
    if layout == "source":
        return Result("source", method, part[-5], name, part[-5], _shots(shots), cfg, seed, accuracy)
    source = part[-6].partition("_")[2] or "imagenet"
    return Result("target", method, part[-3], name, source, _shots(shots), cfg, seed, accuracy)


def _shots(text: str) -> int:
    return int("".join(c for c in text if c.isdigit()) or 0)


def _tell_apart(results: list[Result]) -> list[Result]:
    cells = defaultdict(list)
    for r in results:
        cells[r.cell].append(r)
    mixed = {(r.protocol, r.method) for rivals in cells.values() if len(rivals) > 1 for r in rivals}

    def named(r: Result) -> Result:
        shots = "" if r.kind == "few_shot" else f", {r.shots} shots"
        return replace(r, method=f"{r.method} ({r.cfg}{shots})") if (r.protocol, r.method) in mixed else r

    return [named(r) for r in results]
