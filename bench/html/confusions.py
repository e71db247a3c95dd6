"""Confusion matrices for the page, from what runs left in confusion.json, summed over seeds."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

from pandas import DataFrame

from .naming import PROTOCOLS

MOST_CLASSES = 60  # above, the most frequent confusions are listed in place of a matrix
LISTED = 30
MOST_CHARACTERS = 500_000  # of all matrices in one page

Counts = list[list[int]]


def matrices(frame: DataFrame, folder: Path, methods: dict[str, int]) -> tuple[list[dict], list[list[str]], int]:
    """(settings, lists of class names, how many settings are left out for the page's size).

    A setting: {title, dataset, protocol, methods: [method, {about, names, rows or top}]}; names: which list of class
    names. rows: of each true class [column, count, ...] without zeros; top: [true, predicted, count, of how many].
    """
    found: dict[tuple[str, ...], dict[str, list[tuple[tuple[str, ...], Counts]]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for row in frame.to_dict("records"):
        own = read(folder / row["folder"] / "confusion.json")
        if own:
            found[row["protocol"], row["dataset"], row["setting"]][row["label"]].append(own)
    names: dict[tuple[str, ...], int] = {}
    made, room, left_out = [], MOST_CHARACTERS, 0
    for (protocol, dataset, setting), by_label in found.items():
        lines = [[methods[label], _matrix(runs, names)] for label, runs in by_label.items()]
        title = ", ".join(filter(None, (dataset, PROTOCOLS[protocol].lower(), setting)))
        lines.sort(key=lambda line: line[0])
        room -= (size := len(json.dumps(lines, separators=(",", ":"))))
        if room < 0:
            room, left_out = room + size, left_out + 1
            continue
        made.append({"title": title, "dataset": dataset, "protocol": protocol, "methods": lines})
    return made, [list(each) for each in names], left_out


def read(file: Path) -> tuple[tuple[str, ...], Counts] | None:
    """(class names, counts: a row a true class); None where there is no such file, or it holds no matrix."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        names = tuple(map(str, found["classnames"]))
        counts = [[int(n) for n in row] for row in found["counts"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    square = bool(names) and {len(names)} == {len(counts), *map(len, counts)}
    return (names, counts) if square and sum(map(sum, counts)) else None


def _matrix(runs: list[tuple[tuple[str, ...], Counts]], known: dict[tuple[str, ...], int]) -> dict:
    names = runs[0][0]
    same = [counts for own, counts in runs if own == names]  # seeds have the same classes; others are not added up
    summed = [[sum(cells) for cells in zip(*rows, strict=True)] for rows in zip(*same, strict=True)]
    right, total = sum(summed[i][i] for i in range(len(names))), sum(map(sum, summed))
    runs_text = "1 run" if len(same) == 1 else f"{len(same)} runs"
    about = {"about": f"{100 * right / total:.1f} % right, {runs_text}", "names": known.setdefault(names, len(known))}
    if len(names) <= MOST_CLASSES:
        return about | {"rows": [[x for j, n in enumerate(row) if n for x in (j, n)] for row in summed]}
    wrong = [(-n, i, j) for i, row in enumerate(summed) for j, n in enumerate(row) if n and i != j]
    return about | {"top": [[i, j, -n, sum(summed[i])] for n, i, j in sorted(wrong)[:LISTED]]}
