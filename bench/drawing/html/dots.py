"""Charts with a row a method, as data for the page's script: a panel a dataset, averages first, on one axis."""

from __future__ import annotations

from collections.abc import Sequence

from .numbers import AVERAGE, Entry, Number

PARTS = {"base": "Base", "new": "New", "hm": "HM"}
Panels = dict[str, dict[str, list[Number | None]]]  # {dataset: {label: its numbers}}


def halves(found: Sequence[Entry], methods: dict[str, int]) -> list[dict]:
    """Base, new and their harmonic mean, of the methods that have both halves."""
    panels: dict[str, dict[str, dict[str, Number]]] = {}
    for entry in found:
        if entry.accuracy and entry.key.part in PARTS:
            panels.setdefault(entry.key.dataset, {}).setdefault(entry.key.label, {})[entry.key.part] = entry.accuracy
    whole = {
        dataset: {label: [parts[part] for part in PARTS] for label, parts in own.items() if "hm" in parts}
        for dataset, own in panels.items()
    }
    return _charts(whole, list(PARTS.values()), methods)


def targets(found: Sequence[Entry], methods: dict[str, int]) -> list[dict]:
    """The accuracy on each target, if there is one source."""
    panels: Panels = {}
    for entry in found:
        if entry.accuracy and entry.key.part != "source":
            name = entry.key.dataset
            name += ", shifted" if name.startswith(AVERAGE) and entry.key.part == "shifted" else ""
            panels.setdefault(name, {})[entry.key.label] = [entry.accuracy]
    return _charts(panels, ["Accuracy"], methods) if len({e.key.source for e in found}) == 1 else []


def _charts(panels: Panels, parts: list[str], methods: dict[str, int]) -> list[dict]:
    """[{title, dataset, parts, range, series: [method, number, ...]}], a number as [mean, spread or None]. range: of
    the axis, which all panels share."""
    numbers = [n for own in panels.values() for each in own.values() for n in each if n]
    if not numbers:
        return []
    low, high = (side(n.mean + sign * (n.std or 0) for n in numbers) for side, sign in ((min, -1), (max, 1)))
    span = [max(0.0, round(low - 1, 1)), min(100.0, round(high + 1, 1))]
    made = []
    for dataset, own in sorted(panels.items(), key=lambda panel: not panel[0].startswith(AVERAGE)):
        lines = [
            [methods[label], *map(_plain, each)] for label, each in sorted(own.items(), key=lambda x: methods[x[0]])
        ]
        if lines:
            made.append({"title": dataset, "dataset": dataset, "parts": parts, "range": span, "series": lines})
    return made


def _plain(number: Number | None) -> list[float | None] | None:
    return None if number is None else [round(number.mean, 3), round(number.std, 3) if number.std else None]
