"""Reads the published numbers of papers, and finds those that contradict each other.

A file in published/ holds the source, notes and tables of a paper. A table has what its cells have in common (protocol,
backbone, shots; null: not stated), our method and settings for each printed row, and the datasets of its averages;
`cells` are rows of `columns`. Parts and datasets are named as in `bench.reading.collect`. `reported_by` says who prints
the numbers, `measured` whether they ran the method themselves: for the whole table, or by printed method.
"""

from __future__ import annotations

import difflib
import json
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from dassl.utils import InputError

FOLDER = Path(__file__).with_name("published")
ALL = "all"
BY_THEM, COPIED, NOT_STATED = "by those who report it", "copied from elsewhere", "not stated"


@dataclass(frozen=True)
class Printed:
    """One published number, in percent. value: None if it cannot be read; note: a remark on this number."""

    method: str  # as printed
    dataset: str  # a config's name, or an average's
    part: str
    value: float | None
    noise_type: str = ""  # as printed
    noise_rate: float | None = None
    attack: str = ""
    metric: str = "accuracy"
    note: str = ""

    @property
    def group(self) -> tuple:
        """A key that is equal for numbers that differ only in the method."""
        return self.dataset, self.part, self.noise_type, self.noise_rate, self.attack, self.metric


@dataclass(frozen=True)
class Ours:
    """Our counterpart of a printed row: a registered method, and the settings that differ from its defaults."""

    method: str
    settings: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """One published table. averages: {name: its datasets}; noise_types: {printed: ours, the nearest first}; source: the
    dataset of the training; decimals: of the printed numbers; reported_by: who prints them; measured: {printed method:
    BY_THEM, COPIED or NOT_STATED}."""

    paper: str
    table: str
    title: str
    protocol: str
    backbone: str | None
    shots: int | None
    seeds: int | None
    decimals: int
    cells: tuple[Printed, ...]
    methods: dict[str, Ours]
    averages: dict[str, list[str]]
    noise_types: dict[str, list[str]]
    source: str
    provenance: str
    reported_by: str = ""
    measured: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Paper and table, such as "anprompt, Table 1"; a table without a number has a name instead."""
        return f"{self.paper}, {'Table ' if self.table.isdecimal() else ''}{self.table}"


@dataclass(frozen=True)
class Paper:
    paper: str
    title: str
    source: str
    notes: list[str]
    tables: list[Table]


def papers() -> list[str]:
    """The names of the papers whose numbers can be compared."""
    return sorted(file.stem for file in FOLDER.glob("*.json"))


def load(name: str) -> Paper:
    """Read a paper. Raises InputError for an unknown one."""
    if name not in papers():
        raise InputError(f"There is no paper {name!r}; there are {', '.join(papers())}, and all.")
    found = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    source = f"{found['title']}; {found['source']}"
    tables = [_table(found, source, each) for each in found["tables"]]
    return Paper(found["paper"], found["title"], found["source"], found["notes"], tables)


def choose(paper: str = ALL, table: str = "") -> list[tuple[Paper, list[Table]]]:
    """The chosen papers, each with its chosen tables. Raises InputError for an unknown one, and names the known."""
    found = [load(name) for name in (papers() if paper == ALL else [paper])]
    known = list(dict.fromkeys(t.table for p in found for t in p.tables))
    if table and table not in known:
        near = dict.fromkeys([*difflib.get_close_matches(table, known, n=2), *known])
        of = "any paper" if paper == ALL else paper
        raise InputError(f"There is no table {table!r} of {of}; there are {', '.join(near)}.")
    chosen = [(p, [t for t in p.tables if table in ("", t.table)]) for p in found]
    return [(p, tables) for p, tables in chosen if tables]


def _table(paper: dict, source: str, found: dict) -> Table:
    cells = tuple(Printed(**dict(zip(found["columns"], cell, strict=True))) for cell in found["cells"])
    methods = {printed: Ours(**ours) for printed, ours in found["methods"].items()}
    names = ("table", "title", "protocol", "backbone", "shots", "seeds", "decimals")
    return Table(
        paper=paper["paper"],
        cells=cells,
        methods=methods,
        averages=found.get("averages", {}),
        noise_types=found.get("noise_types", {}),
        source=found.get("source", ""),
        provenance=found.get("provenance") or source,
        reported_by=found.get("reported_by") or paper["reported_by"],
        measured=_measured(found.get("measured") or paper["measured"], {cell.method for cell in cells}),
        **{name: found[name] for name in names},
    )


def _measured(said: str | dict[str, str], methods: set[str]) -> dict[str, str]:
    """{printed method: by whom it was run}; `said` is one answer for all, or {method: answer}, others not stated."""
    if isinstance(said, str):
        return dict.fromkeys(methods, said)
    return {method: said.get(method, NOT_STATED) for method in methods}


# ---------------------------------------------------------------------- numbers that contradict each other


def unreliable(table: Table, paper: Paper) -> dict[Printed, str]:
    """{number: why its row cannot be relied on}, for every number of a row in which one contradicts others.

    A row is what is printed for one method on one dataset under one noise or attack: of a base, a new and an HM that do
    not fit together nobody can tell which is the misprint.
    """
    why = contradictions(table, paper)
    rows: dict[tuple, list[str]] = defaultdict(list)
    for cell, sentence in why.items():
        rows[_row(cell)].append(f"{cell.part} {cell.value:.{table.decimals}f}: {sentence}")
    return {cell: "; ".join(rows[_row(cell)]) for cell in table.cells if _row(cell) in rows}


def _row(cell: Printed) -> tuple:
    return cell.method, cell.dataset, cell.noise_type, cell.noise_rate, cell.attack, cell.metric


def contradictions(table: Table, paper: Paper) -> dict[Printed, str]:
    """{number: why it contradicts others, allowing for the rounding to the printed decimals}.

    Found are harmonic means that do not follow from base and new, averages that do not follow from their columns, and
    numbers that the paper prints twice with different values.
    """
    found: dict[Printed, list[str]] = defaultdict(list)
    half = 0.5 * 10**-table.decimals
    at = {(c.method, *c.group): c.value for c in table.cells if c.value is not None}
    printed = _printed(table, paper)
    for cell in table.cells:
        if cell.value is None:
            continue
        if cell.part == "hm" and (low_high := _hm(cell, at, half)):
            found[cell] += _outside(cell.value, *low_high, half, table.decimals, "base and new give")
        elif cell.dataset in table.averages and (low_high := _average(cell, table, at, half)):
            found[cell] += _outside(cell.value, *low_high, half, table.decimals, "the columns give")
        if others := _elsewhere(cell, table, printed[(cell.method, *cell.group)]):
            found[cell].append(f"also printed as {', '.join(others)}")
    return {cell: "; ".join(why) for cell, why in found.items() if why}


def _hm(cell: Printed, at: dict, half: float) -> tuple[float, float] | None:
    values = [at.get((cell.method, cell.dataset, part, *cell.group[2:])) for part in ("base", "new")]
    if None in values:
        return None
    low, high = (2 * b * n / (b + n) for b, n in ([v + e for v in values] for e in (-half, half)))
    return low, high


def _average(cell: Printed, table: Table, at: dict, half: float) -> tuple[float, float] | None:
    """The range of the mean of an average's columns; None if one is missing.

    In cross-dataset tables an average over targets may include the source.
    """
    of_method = {key[1]: value for key, value in at.items() if key[0] == cell.method and _same_kind(key, cell)}
    values = [of_method.get(dataset) for dataset in table.averages[cell.dataset]]
    if None in values:
        return None
    mean = sum(values) / len(values)
    return mean - half, mean + half


def _same_kind(key: tuple, cell: Printed) -> bool:
    part = key[2] if key[2] != "source" else "target"
    return (part, *key[3:]) == cell.group[1:]


def _outside(value: float, low: float, high: float, half: float, decimals: int, what: str) -> list[str]:
    slack = half + 1e-9
    if low - slack <= value <= high + slack:
        return []
    return [f"{what} {(low + high) / 2:.{decimals}f}"]


def _printed(table: Table, paper: Paper) -> dict[tuple, list[tuple[Table, Printed]]]:
    """{(method, *group): all its values with their tables}, of tables with this protocol, shots and backbone."""
    found: dict[tuple, list[tuple[Table, Printed]]] = defaultdict(list)
    for other in paper.tables:
        if (other.protocol, other.shots, other.backbone) == (table.protocol, table.shots, table.backbone):
            for twin in other.cells:
                found[(twin.method, *twin.group)].append((other, twin))
    return found


def _elsewhere(cell: Printed, table: Table, printed: list[tuple[Table, Printed]]) -> list[str]:
    """Other values, and their tables, that the paper prints for the same method, data, shots, backbone and metric."""
    found = []
    for other, twin in printed:
        if other.averages.get(cell.dataset) != table.averages.get(cell.dataset):
            continue  # that table's average has other datasets
        if twin.value is not None and twin.value != cell.value:
            where = "here too" if other is table else f"in {other.name.partition(', ')[2]}"
            found.append(f"{twin.value:.{other.decimals}f} {where}")
    return list(dict.fromkeys(found))
