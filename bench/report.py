"""The tables of a comparison as text: for the terminal, or as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tabulate import tabulate

from . import table
from .results import Result
from .summary import MISSING, Scope, Summary, few_shot_table, main_table, summarize, target_table


@dataclass(frozen=True)
class Section:
    title: str
    note: str
    headers: list[str]
    rows: list[list[str]]


def sections(results: Sequence[Result], scope: Scope) -> list[Section]:
    """The one table, then a table of each protocol with its datasets one by one; empty ones are left out."""
    summary = summarize(results, scope)
    found = [Section("All protocols", _note(summary, scope), *main_table(summary))]
    base_new = {(r.name, r.method, r.seed, r.kind): r.accuracy for r in results if r.protocol == "base2new"}
    found.append(Section("Base-to-new", "", table.HEADERS, table.rows(table.gather(base_new))))
    for title, shifted in (("Cross-dataset", False), ("Domain generalisation", True)):
        found.append(Section(title, "", *target_table(results, scope, summary, shifted)))
    few_shot = summary.datasets.get("few-shot", [])
    found += [Section(f"Few-shot, {d}", "", *few_shot_table(results, d, list(summary.few_shot))) for d in few_shot]
    return [s for s in found if s.rows]


def render(found: Sequence[Section], form: str) -> str:
    """`form` is one of tabulate's: "simple" for the terminal, "github" for Markdown."""
    heading = "## {}" if form == "github" else "{}"
    parts = []
    for s in found:
        parts.append(heading.format(s.title))
        parts.append(tabulate(s.rows, s.headers, tablefmt=form, disable_numparse=True))
        if s.note:
            parts.append(s.note)
    return "\n\n".join(parts)


def _note(summary: Summary, scope: Scope) -> str:
    """What the numbers are averages of."""
    over = [f"{name}: {', '.join(sets)}" for name, sets in summary.datasets.items()]
    note = f"Accuracy in %, mean over {'; '.join(over)}. XD and DG: trained on {scope.source}. ± is the population"
    note += " standard deviation over seeds of that mean; HM is the harmonic mean of the means of base and new."
    return f"{note} {MISSING}: not finished on all of them."
