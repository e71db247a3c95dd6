"""Formats tables for the terminal, as Markdown, and as LaTeX (booktabs); best in bold, second underlined."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from tabulate import SEPARATING_LINE, tabulate

BEST, SECOND = "best", "second"
TEXT_FORMATS = ("terminal", "markdown", "latex")

_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "±": r"$\pm$", "‡": r"$\ddagger$",
}  # fmt: skip
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>|])")


@dataclass(frozen=True)
class Cell:
    """One cell of a table. suffix: a mark after the text, which is not set in bold or underlined."""

    text: str
    style: str = ""  # BEST, SECOND or none
    suffix: str = ""

    def __str__(self) -> str:
        return self.text + self.suffix


@dataclass(frozen=True)
class TextTable:
    """One table. rules: rows before which a line is drawn; numbers: columns aligned to the right; label: for LaTeX."""

    title: str
    headers: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    notes: Sequence[str] = ()
    rules: frozenset[int] = frozenset()
    numbers: frozenset[int] = frozenset()
    label: str = field(default="")


def render(tables: Sequence[TextTable], form: str) -> str:
    """All tables, one below another, as text. form: one of `TEXT_FORMATS`."""
    one = {"terminal": _terminal, "markdown": _markdown, "latex": _latex}[form]
    first = "% Needs \\usepackage{booktabs,graphicx} and \\usepackage[T1]{fontenc}.\n\n" if form == "latex" else ""
    return first + "\n\n".join(map(one, tables)) + "\n"


def escape_latex(text: str) -> str:
    """The text with LaTeX's special characters escaped."""
    return "".join(_LATEX.get(c, c) for c in text)


def escape_markdown(text: str) -> str:
    """The text with Markdown's special characters escaped."""
    return _MARKDOWN.sub(r"\\\1", text)


def ranks(values: Sequence[float | None]) -> list[str]:
    """The style of each value: BEST for the highest of at least two, SECOND for the next of at least three, else "".

    Values are compared as printed, with two decimals.
    """
    printed = [None if v is None or v != v else round(v, 2) for v in values]
    there = [v for v in printed if v is not None]
    order = sorted(set(there), reverse=True)
    best = order[0] if len(there) > 1 else None
    second = order[1] if len(there) > 2 and len(order) > 1 else None
    return ["" if v is None else BEST if v == best else SECOND if v == second else "" for v in printed]


def _alignment(table: TextTable) -> list[str]:
    return ["right" if i in table.numbers else "left" for i in range(len(table.headers))]


def _terminal(table: TextTable) -> str:
    lines: list = []
    for i, row in enumerate(table.rows):
        lines += [SEPARATING_LINE] if i in table.rules else []
        lines.append([str(cell) for cell in row])
    text = tabulate(lines, table.headers, "simple", disable_numparse=True, colalign=_alignment(table))
    return "\n".join([table.title, "", text, *table.notes])


def _markdown(table: TextTable) -> str:
    def cell(c: Cell) -> str:
        text = escape_markdown(c.text)
        text = {BEST: f"**{text}**", SECOND: f"<u>{text}</u>"}.get(c.style, text)
        return text + escape_markdown(c.suffix)

    rows = [[cell(c) for c in row] for row in table.rows]
    headers = [escape_markdown(h) for h in table.headers]
    text = tabulate(rows, headers, "github", disable_numparse=True, colalign=_alignment(table))
    notes = [f"- {escape_markdown(note)}" for note in table.notes]
    return "\n\n".join([f"## {escape_markdown(table.title)}", text, *(["\n".join(notes)] if notes else [])])


def _latex(table: TextTable) -> str:
    columns = "".join("r" if i in table.numbers else "l" for i in range(len(table.headers)))
    lines = [r"\begin{table}[t]", r"\centering", rf"\caption{{{escape_latex(table.title)}}}"]
    lines += [rf"\label{{tab:{table.label}}}"] if table.label else []
    lines += [rf"{FIT}\begin{{tabular}}{{{columns}}}", r"\toprule"]
    lines += [" & ".join(map(escape_latex, table.headers)) + r" \\", r"\midrule"]
    for i, row in enumerate(table.rows):
        lines += [r"\midrule"] if i in table.rules else []
        lines.append(" & ".join(_latex_cell(c, k in table.numbers) for k, c in enumerate(row)) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}}"]
    lines += [rf"\par\smallskip{{\footnotesize\raggedright {escape_latex(note)}\par}}" for note in table.notes]
    return "\n".join([*lines, r"\end{table}"])


# A table that is wider than the column is made smaller, so that nothing stands out of it.
FIT = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{"


def _latex_cell(cell: Cell, number: bool) -> str:
    """The cell; of "81.93 ± 5.08" the spread is in small type, and not bold or underlined."""
    text, sign, spread = cell.text.partition(" ± ")
    text = escape_latex(text)
    text = re.sub(r"-(?=\d)", "$-$", text) if number else text  # a minus, not a hyphen
    text = {BEST: rf"\textbf{{{text}}}", SECOND: rf"\underline{{{text}}}"}.get(cell.style, text)
    small = rf"{{\scriptsize\,$\pm$\,{escape_latex(spread)}}}" if sign else ""
    return text + small + escape_latex(cell.suffix)
