"""Formats tables as HTML, and escapes all text that comes from results."""

from __future__ import annotations

from collections import defaultdict
from html import escape

from dassl.utils.counted import counted

from ..collapse import MARK
from .numbers import Number
from .tables import Row, Table

DOUBT = ' <sup title="failed a check">†</sup>'


def table(made: Table, number: int, doubtful: frozenset[int]) -> str:
    """One table as HTML. number: of the table in the page. doubtful: runs whose rows are marked, and never the best."""
    best = _best(made, doubtful) if made.compared else {}
    spread = [any(row.cells[i] and row.cells[i].std is not None for row in made.rows) for i in range(len(made.columns))]
    heads = [head(title) for title in made.heads]
    heads[-1] = heads[-1].replace("<th ", '<th class="who" ', 1)
    heads += [head(column.title, numeric=True, dataset=column.dataset) for column in made.columns]
    heads.append(head("Seeds", numeric=True))
    body, group = [], None
    for row in made.rows:
        first = "" if row.group == group else ' class="first"'
        group = row.group
        about = f' data-m="{escape(row.label)}"' + (f' data-d="{escape(row.dataset)}"' if row.dataset else "")
        mark = DOUBT if _doubted(row, doubtful) else ""
        cells = [f"<td>{escape(text)}</td>" for text in row.heads[:-1]]
        cells.append(f'<td class="who">{escape(row.heads[-1])}{mark}</td>')
        cells += [_cell(made, row, i, best, spread[i]) for i in range(len(made.columns))]
        cells.append(f'<td class="n">{_seeds(row)}</td>')
        body.append(f"<tr{first}{about}>{''.join(cells)}</tr>")
    note = f" {escape(made.note)}" if made.note else ""
    caption = f"<b>{escape(made.title)}</b>{note}"
    look = "wide" if len(made.heads) == 1 else "grouped"
    return framed(caption, heads, body, f"t{number}", look)


def framed(caption: str, heads: list[str], body: list[str], name: str, look: str = "", frame: str = "") -> str:
    """A table in a frame that scrolls sideways, also by keyboard. All arguments are HTML already."""
    return (
        f'<div class="scroll {frame}" tabindex="0" role="region" aria-labelledby="{name}">'
        f'<table class="{look}"><caption><span id="{name}">{caption}</span></caption>\n'
        f"<thead><tr>{''.join(heads)}</tr></thead>\n<tbody>\n" + "\n".join(body) + "\n</tbody></table></div>"
    )


def head(title: str, numeric: bool = False, dataset: str = "", key: str = "") -> str:
    """The heading of a column, with a button that sorts the table by it."""
    look = ' class="n acc"' if key == "accuracy" else ' class="n"' if numeric else ""
    about = (f' data-d="{escape(dataset)}"' if dataset else "") + (f' data-k="{key}"' if key else "")
    return f'<th scope="col" aria-sort="none"{look}{about}><button type="button">{escape(title)}</button></th>'


def _doubted(row: Row, doubtful: frozenset[int]) -> bool:
    return any(doubtful.intersection(number.runs) for number in row.cells if number)


def _best(made: Table, doubtful: frozenset[int]) -> dict[tuple, float]:
    """{(group, column): the best number as printed} of columns with at least two numbers in a group."""
    values: dict[tuple, list[float]] = defaultdict(list)
    for row in made.rows:
        if _doubted(row, doubtful):
            continue
        for i, number in enumerate(row.cells):
            if number:
                values[row.group, i].append(round(number.mean, 2))
    return {place: max(found) for place, found in values.items() if len(found) > 1}


def _seeds(row: Row) -> str:
    """How many seeds the numbers of a row are over: "3", "1–3", or "-" for an average that no seed has all of."""
    counts = sorted({number.count for number in row.cells if number})
    return "–".join(map(str, dict.fromkeys((counts[0], counts[-1])))) if counts and counts[-1] else "-"


def _cell(made: Table, row: Row, i: int, best: dict[tuple, float], spread: bool) -> str:
    number = row.cells[i]
    if number is None:
        return '<td class="n">-' + ('<span class="sd"></span></td>' if spread else "</td>")
    text = f"{number.mean:.2f}"
    if best.get((row.group, i)) == round(number.mean, 2):
        text = f"<strong>{text}</strong>"
    words = ", ".join((*reversed(row.heads), made.columns[i].title))
    if number.collapsed:
        text += f" {MARK}"
        words += f"; {number.collapsed} of {counted(number.count, 'seed')} collapsed"
    runs = " ".join(map(str, number.runs))
    link = f'<a class="cell" href="#r{number.runs[0]}" data-r="{runs}" title="{escape(words)}">{text}</a>'
    return f'<td class="n">{link}{_spread(number) if spread else ""}</td>'


def _spread(number: Number) -> str:
    return f'<span class="sd">{"" if number.std is None else f"±{number.std:.2f}"}</span>'
