"""Base / New / HM as a table for a paper: booktabs, the best of each dataset in bold, the second underlined."""

from __future__ import annotations

from collections.abc import Sequence

from .base_new import HEADERS, Line
from .collapse import MARK
from .formats import Cell, TextTable, ranks, render

MOST_ROWS = 40  # of one table: more would not fit on a page


def latex(found: Sequence[Line], notes: Sequence[str], interval: bool = False) -> str:
    """The lines as LaTeX. Datasets are not torn apart unless one alone exceeds a page; a long table is several."""
    parts: list[list[list[Cell]]] = [[]]
    for group in _groups(found, interval):
        if len(parts[-1]) + len(group) > MOST_ROWS and parts[-1]:
            parts.append([])
        parts[-1] += group
        while len(parts[-1]) > MOST_ROWS:
            parts[-1:] = [parts[-1][:MOST_ROWS], parts[-1][MOST_ROWS:]]
    tables = []
    for number, rows in enumerate(parts):
        more, label = (", continued", f"base2new-{number + 1}") if number else ("", "base2new")
        told = [note for note in notes if note] if number == len(parts) - 1 else []
        rules = frozenset(i for i, row in enumerate(rows) if i and row[0].text)
        heads = [each.capitalize() if each in ("dataset", "method", "seeds") else each for each in HEADERS]
        tables.append(
            TextTable(f"Base-to-new generalisation{more}", heads, rows, told, rules, frozenset({2, 3, 4, 5}), label)
        )
    return render(tables, "latex")


def _groups(found: Sequence[Line], interval: bool) -> list[list[list[Cell]]]:
    """The rows of each dataset or average, which are compared; its name stands in the first."""
    of_dataset: dict[str, list[Line]] = {}
    for line in found:
        of_dataset.setdefault(line.dataset, []).append(line)
    made = []
    for name, group in of_dataset.items():
        texts = [line.cells(interval) for line in group]
        styles = [ranks([float(row[column].split()[0]) for row in texts]) for column in range(3)]
        rows = []
        for i, (line, row) in enumerate(zip(group, texts, strict=True)):
            cells = [Cell(*_mark_apart(row[k], styles[k][i])) for k in range(3)]
            rows.append([Cell("" if i else name), Cell(line.method), *cells, Cell(row[3])])
        made.append(rows)
    return made


def _mark_apart(text: str, style: str) -> tuple[str, str, str]:
    """(text, style, mark) with the mark of a collapsed run behind the number."""
    number, mark, _ = text.partition(f" {MARK}")
    return number, style, MARK if mark else ""
