"""Confusion matrices for the page, from the runs' files confusion.json, summed over seeds."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

from pandas import DataFrame

from bench.reading.files import DAMAGE, read_json, whole
from dassl.utils import InputError
from dassl.utils.counted import counted

from .naming import title as title_of

MOST_CLASSES = 60  # with more classes, the most frequent confusions are listed in place of a matrix
LISTED = 30  # number of confusions that are listed
MOST_CHARACTERS = 500_000  # largest size of all matrices in one page

Counts = list[list[int]]


def matrices(
    frame: DataFrame, folder: Path, methods: dict[str, int], broken: list[str]
) -> tuple[list[dict], list[list[str]], int]:
    """(settings, lists of class names, number of settings that are left out to keep the page small).

    A setting: {title, dataset, protocol, methods: [method, {about, names, rows or top}]}; names: index of a list of
    class names. rows: for each true class [column, count, ...] without zeros; top: [true, predicted, count, images of
    the true class]. A sentence for each damaged file is appended to `broken`.
    """
    found: dict[tuple[str, ...], dict[str, list[tuple[tuple[str, ...], Counts]]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for row in frame.to_dict("records"):
        try:
            own = read(folder / row["folder"] / "confusion.json")
        except InputError as error:
            own = broken.append(str(error))
        if own:
            found[row["protocol"], row["dataset"], row["setting"]][row["label"]].append(own)
    names: dict[tuple[str, ...], int] = {}
    made, room, left_out = [], MOST_CHARACTERS, 0
    for (protocol, dataset, setting), by_label in found.items():
        lines = [[methods[label], _matrix(runs, names)] for label, runs in by_label.items()]
        title = ", ".join(filter(None, (dataset, title_of(protocol).lower(), setting)))
        lines.sort(key=lambda line: line[0])
        room -= (size := len(json.dumps(lines, separators=(",", ":"))))
        if room < 0:
            room, left_out = room + size, left_out + 1
            continue
        made.append({"title": title, "dataset": dataset, "protocol": protocol, "methods": lines})
    return made, [list(each) for each in names], left_out


def read(file: Path) -> tuple[tuple[str, ...], Counts] | None:
    """(class names, counts with a row for each true class), or None without a file. Raises InputError if the file holds
    no matrix."""
    if not file.is_file():
        return None
    try:
        found = read_json(file)
        names = tuple(map(str, found["classnames"]))
        counts = [[whole({"a count": n}, "a count") for n in row] for row in found["counts"]]
        if not names or {len(names)} != {len(counts), *map(len, counts)} or min(map(min, counts)) < 0:
            raise ValueError("it is not a row and a column a class")
        if not sum(map(sum, counts)):
            raise ValueError("it is empty")
    except DAMAGE as error:
        raise InputError(f"{file} holds no confusion matrix ({error}); it is left out.") from error
    return names, counts


def _matrix(runs: list[tuple[tuple[str, ...], Counts]], known: dict[tuple[str, ...], int]) -> dict:
    names = runs[0][0]
    same = [counts for own, counts in runs if own == names]  # only matrices of the same classes are added
    summed = [[sum(cells) for cells in zip(*rows, strict=True)] for rows in zip(*same, strict=True)]
    right, total = sum(summed[i][i] for i in range(len(names))), sum(map(sum, summed))
    text = f"{100 * right / total:.1f} % right, {counted(len(same), 'run')}"
    about = {"about": text, "names": known.setdefault(names, len(known))}
    if len(names) <= MOST_CLASSES:
        return about | {"rows": [[x for j, n in enumerate(row) if n for x in (j, n)] for row in summed]}
    wrong = [(-n, i, j) for i, row in enumerate(summed) for j, n in enumerate(row) if n and i != j]
    return about | {"top": [[i, j, -n, sum(summed[i])] for n, i, j in sorted(wrong)[:LISTED]]}
