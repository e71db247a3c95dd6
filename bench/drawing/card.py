"""The robustness card as tables, Markdown, LaTeX and JSON: one table of all methods, one page a method."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence

from dassl.utils.counted import counted
from dassl.utils.spread import plus_minus, words

from ..reading.card import Axis, Card, Figure
from ..reading.layout import dataset_name
from .formats import BEST, SECOND, Cell, TextTable
from .formats import render as render_tables


def shown(axis: Axis, figure: Figure) -> str:
    """Mean and spread as text; "-" for a missing figure."""
    return "-" if figure.missing else plus_minus(figure.mean, figure.spread, axis.digits)


def overview(card: Card, axes: Sequence[Axis] = (), interval: bool = False) -> TextTable:
    """A row a method, a column an axis that some method has a figure on."""
    there = [axis for axis in axes or card.axes if any(not own[axis.name].missing for own in card.figures.values())]
    rows = []
    for label, own in card.figures.items():
        cells = [Cell(label)]
        for axis in there:
            figure = own[axis.name]
            style = BEST if figure.rank == 1 else SECOND if figure.rank == 2 and figure.of > 2 else ""
            cells.append(Cell(shown(axis, figure), style))
        rows.append([*cells, Cell(_mean_rank(own))])
    heads = ["method", *(axis.title for axis in there), "mean rank"]
    return TextTable(
        f"Robustness card, {card.backbone}", heads, rows, notes(card, there, interval),
        numbers=frozenset(range(1, len(heads))), label="card",
    )  # fmt: skip


def _mean_rank(own: dict[str, Figure]) -> str:
    ranks = [figure.rank for figure in own.values() if figure.rank]
    return f"{sum(ranks) / len(ranks):.1f} of {len(ranks)}" if ranks else "-"


def notes(card: Card, axes: Sequence[Axis], interval: bool = False) -> list[str]:
    """What the columns are, over which datasets and versions of protocols, and which cells are missing and why."""
    told = [f"Mean over seeds; ± is {words(interval)}. Best in bold. Mean rank: over the axes that a method has."]
    told += _seeds(card, axes)
    told += [f"{axis.title}: {axis.about}; on {_where(card, axis)}." for axis in axes]
    versions = ", ".join(f"{name} {version}" for name, version in sorted(card.versions.items()))
    told.append(f"Versions of the protocols: {versions}.")
    empty = [axis.title for axis in card.axes if axis not in axes]
    told += [f"Without any figure: {', '.join(empty)}."] if empty else []
    told += _missing(card, axes)
    return told + list(card.remarks)


def _where(card: Card, axis: Axis) -> str:
    return ", ".join(map(dataset_name, card.datasets[axis.name]))


def _seeds(card: Card, axes: Sequence[Axis]) -> list[str]:
    """A sentence with the usual number of seeds of a figure, and one for each other number and set of axes."""
    counts = Counter(len(own[a.name].seeds) for own in card.figures.values() for a in axes if own[a.name].seeds)
    if not counts:
        return []
    usual = max(counts, key=lambda number: (counts[number], number))
    others: dict[tuple[int, str], list[str]] = {}
    for label, own in card.figures.items():
        fewer: dict[int, list[str]] = {}
        for axis in axes:
            number = len(own[axis.name].seeds)
            if number not in (0, usual):
                fewer.setdefault(number, []).append(axis.title)
        for number, titles in fewer.items():
            others.setdefault((number, ", ".join(titles)), []).append(label)
    told = [
        f"{counted(number, 'seed')} in {titles}: {', '.join(labels)}."
        for (number, titles), labels in sorted(others.items())
    ]
    return [f"Seeds: {usual}{' where nothing else is said' if told else ''}.", *told]


def _missing(card: Card, axes: Sequence[Axis]) -> list[str]:
    """A sentence for each reason and set of axes, with the methods that have no figure there."""
    without: dict[tuple[str, str], list[str]] = {}
    for label, own in card.figures.items():
        reasons: dict[str, list[str]] = {}
        for axis in axes:
            if own[axis.name].missing:
                reasons.setdefault(own[axis.name].missing, []).append(axis.title)
        for why, titles in reasons.items():
            without.setdefault((", ".join(titles), why), []).append(label)
    return [f"Missing {titles} ({why}): {', '.join(labels)}." for (titles, why), labels in without.items()]


def page(card: Card, label: str) -> TextTable:
    """The page of one method: a row an axis, with spread, seeds, rank and datasets, or why there is no figure."""
    rows = []
    for axis in card.axes:
        f = card.figures[label][axis.name]
        rank = f"{f.rank} of {f.of}" if f.rank else ""
        seeds = ", ".join(map(str, f.seeds))
        where = _where(card, axis) if not f.missing else f"missing: {f.missing}"
        rows.append([Cell(x) for x in (axis.group, axis.title, shown(axis, f), rank, seeds, where, axis.about)])
    heads = ["group", "axis", "figure", "rank", "seeds", "datasets", "what"]
    return TextTable(label, heads, rows, numbers=frozenset({2}))


def text(card: Card, form: str, interval: bool = False) -> str:
    """terminal, markdown or latex: the table of all, then (not on the terminal) a page a method."""
    tables = [overview(card, (), interval)]
    if form != "terminal":
        tables += [page(card, label) for label in card.figures]
    return render_tables(tables, form)


def as_json(card: Card) -> str:
    """Everything, with all digits; null for what is missing, with the reason."""

    def number(value: float) -> float | None:
        return None if math.isnan(value) else value

    axes = {
        axis.name: {
            "title": axis.title, "group": axis.group, "about": axis.about, "higher_is_better": axis.higher,
            "datasets": list(card.datasets[axis.name]),
        }
        for axis in card.axes
    }  # fmt: skip
    methods = {
        label: {
            name: {
                "mean": number(f.mean), "spread": number(f.spread), "seeds": list(f.seeds), "rank": f.rank or None,
                "of": f.of or None, "missing": f.missing or None,
            }
            for name, f in own.items()
        }
        for label, own in card.figures.items()
    }  # fmt: skip
    whole = {
        "version": 1, "backbone": card.backbone, "protocol_versions": dict(card.versions), "axes": axes,
        "methods": methods, "remarks": list(card.remarks),
    }  # fmt: skip
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"
