"""Finds two results for one cell of a table: a copied folder, or one made by a script and one by a suite."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import fields

from .layout import Place

CELL = (*(field.name for field in fields(Place)), "backbone")
SAME = ("settings_hash", "accuracy", "adv_accuracy")
MANY = 5  # copies of one folder in another are told in one sentence
NTH = ("first", "second", "third")  # variants of results that differ from the first of their cell


def part(rows: list[dict], sentences: list[str]) -> list[dict]:
    """The rows, such that no two are of one cell.

    Of copies (equal settings and numbers) one is kept. Of different results the one in the deeper folder, which a suite
    made, keeps its cell, or with rows of several collected folders (`turn`) that of the first; the others get the
    variants "second", "third" and so on. A sentence for each row that is left out or renamed is appended to
    `sentences`; one for all copies where they are more than `MANY`.
    """
    cells: dict[str, list[dict]] = defaultdict(list)
    for row in rows:
        cells[repr([row[key] for key in CELL])].append(row)
    kept, copies = [], []
    for rivals in cells.values():
        own: list[dict] = []
        for row in sorted(rivals, key=_turn):
            twin = next((each for each in own if _numbers(each) == _numbers(row)), None)
            if twin:
                copies.append(f"{row['folder']} is a copy of {twin['folder']}: it is left out.")
                continue
            own.append(row)
            if len(own) > 1:
                row["variant"] = "/".join(filter(None, (row["variant"], _nth(len(own)))))
                what = f"is another result of the same cell as {own[0]['folder']}"
                sentences.append(f"{row['folder']} {what}: it becomes variant {row['variant']!r}.")
        kept += own
    if len(copies) > MANY:
        copies = [f"{len(copies):,} results are copies of others and are left out: {copies[0]}"]
    sentences += copies
    return kept


def _turn(row: dict) -> tuple[int, int, str]:
    return row.get("turn", 0), -row["folder"].count("/"), row["folder"]


def _numbers(row: dict) -> str:
    return repr([row[key] for key in SAME])


def _nth(number: int) -> str:
    return NTH[number - 1] if number <= len(NTH) else f"{number}th"
