"""Finds two results for one cell of a table: a copied folder, or one made by a script and one by a suite."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import fields

from .layout import Place

CELL = (*(field.name for field in fields(Place)), "backbone")
SAME = ("settings_hash", "accuracy", "adv_accuracy")
SECOND = "second"  # variant of a result that differs from a suite's result of the same cell


def part(rows: list[dict], sentences: list[str]) -> list[dict]:
    """The rows, such that no two are of one cell.

    Of copies (equal settings and numbers) one is kept. Of different results the one in the deeper folder, which a suite
    made, keeps its cell, and the others get the variant "second". A sentence for each row that is left out or renamed
    is appended to `sentences`.
    """
    cells: dict[str, list[dict]] = defaultdict(list)
    for row in rows:
        cells[repr([row[key] for key in CELL])].append(row)
    kept = []
    for rivals in cells.values():
        first, *others = sorted(rivals, key=lambda row: (-row["folder"].count("/"), row["folder"]))
        kept.append(first)
        for row in others:
            copy = repr([row[key] for key in SAME]) == repr([first[key] for key in SAME])
            if not copy:
                row["variant"] = "/".join(filter(None, (row["variant"], SECOND)))
                kept.append(row)
            what = "is a copy of" if copy else "is another result of the same cell as"
            end = "it is left out" if copy else f"it becomes variant {row['variant']!r}"
            sentences.append(f"{row['folder']} {what} {first['folder']}: {end}.")
    return kept
