"""Formats the tables of a study as text: for the terminal, or as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tabulate import tabulate

from dassl.utils.spread import MISSING, words

from ..reading.layout import dataset_name
from . import base_new
from .results import Result
from .summary import Scope, Summary, few_shot_table, main_table, summarize, target_table, uneven


@dataclass(frozen=True)
class Section:
    title: str
    note: str
    headers: list[str]
    rows: list[list[str]]


def sections(results: Sequence[Result], scope: Scope) -> list[Section]:
    """One table of all protocols, then tables of each protocol with its single datasets; empty ones are left out."""
    summary = summarize(results, scope)
    found = [Section("All protocols", _note(summary, scope), *main_table(summary))]
    halves = base_new.by_seed(results)
    alone = " ".join(base_new.unpaired(halves))
    found.append(Section("Base-to-new", alone, base_new.HEADERS, base_new.rows(base_new.gather(halves))))
    for title, shifted in (("Cross-dataset", False), ("Domain generalisation", True)):
        targets = summary.datasets.get("shifted" if shifted else "cross-dataset", [])
        own = [r for r in results if r.source == scope.source and (r.kind == "source" or r.dataset in targets)]
        note = uneven([r for r in own if r.protocol == "cross_dataset"])
        found.append(Section(title, note, *target_table(results, scope, summary, shifted)))
    few_shot = summary.datasets.get("few-shot", [])
    for dataset in few_shot:
        note = uneven([r for r in results if r.kind == "few_shot" and r.dataset == dataset])
        title = f"Few-shot, {dataset_name(dataset)}"
        found.append(Section(title, note, *few_shot_table(results, dataset, list(summary.few_shot))))
    return [s for s in found if s.rows]


def render(found: Sequence[Section], form: str) -> str:
    """The sections as text. form: one of tabulate's, "simple" for the terminal or "github" for Markdown."""
    heading = "## {}" if form == "github" else "{}"
    parts = []
    for s in found:
        parts.append(heading.format(s.title))
        parts.append(tabulate(s.rows, s.headers, tablefmt=form, disable_numparse=True))
        if s.note:
            parts.append(s.note)
    return "\n\n".join(parts)


def _note(summary: Summary, scope: Scope) -> str:
    """The note that says which datasets the numbers are averaged over."""
    over = [f"{name}: {', '.join(map(dataset_name, sets))}" for name, sets in summary.datasets.items()]
    note = f"Accuracy in %, mean over {'; '.join(over)}. XD and DG: trained on {dataset_name(scope.source)}."
    note += f" ± is {words()}"
    note += " of that mean; HM is the harmonic mean of the means of base and new."
    told = [f"{note} {MISSING}: not finished on all of them.", *summary.alone]
    return " ".join(filter(None, [*told, base_new.said_of_base_alone(summary.methods)]))
