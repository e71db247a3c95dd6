"""The tables of each protocol in the layout of papers: rows, cells, and groups of rows that are compared."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from dassl.utils.counted import counted
from datasets.noise.names import spoken
from runs.config_names import UNTRAINED

from ..collapse import MARK
from .naming import attack_order, attacker, condition_order, rate_text, shots_text
from .numbers import AVERAGE, MEASURED, Entry, Number


@dataclass(frozen=True)
class Column:
    """One column. dataset: the one that the column is about, or ""."""

    title: str
    dataset: str = ""


@dataclass(frozen=True)
class Row:
    """One row. heads: the texts before the numbers. dataset: the one that the row is about, or "". group: equal for
    rows that are compared."""

    heads: tuple[str, ...]
    cells: tuple[Number | None, ...]
    label: str
    dataset: str = ""
    group: tuple = ()


@dataclass(frozen=True)
class Table:
    """One table. heads: titles of the columns of text. compared: whether the best of each group is marked."""

    title: str
    note: str
    heads: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    compared: bool = True


def protocol_tables(protocol: str, found: Sequence[Entry]) -> list[Table]:
    """The tables of a protocol's entries, without empty ones."""
    made = MAKERS.get(protocol, added)(found)
    return [
        replace(table, note=f"{table.note}{_uneven(table)}{_fallen(table)}".strip()) for table in made if table.rows
    ]


def _uneven(table: Table) -> str:
    """A note on rows whose numbers have different numbers of seeds; "" without such rows."""
    told = []
    for row in table.rows:
        counts = sorted({number.count for number in row.cells if number})
        if len(counts) > 1:
            told.append(f"{' '.join(row.heads)} ({counts[0]} to {counts[-1]})")
    return f" Not all numbers of a row are over the same seeds: {', '.join(told)}." if told else ""


def _fallen(table: Table) -> str:
    """A note on numbers with runs that collapsed; "" without such numbers."""
    told = [
        f"{' '.join((*row.heads, column.title))}: {number.collapsed} of {counted(number.count, 'seed')} collapsed"
        for row in table.rows
        for column, number in zip(table.columns, row.cells, strict=True)
        if number and number.collapsed
    ]
    return f" {MARK}: with runs whose class features nearly coincide. {'; '.join(told)}." if told else ""


def _averages_first(found: Iterable[Entry]) -> list[Entry]:
    return sorted(found, key=lambda e: not e.key.dataset.startswith(AVERAGE))


def _gather(found: Iterable[Entry], row: Callable, column: Callable) -> dict[tuple, dict[object, Number]]:
    """{row: {column: number}}, averages over datasets first."""
    gathered: dict[tuple, dict[object, Number]] = defaultdict(dict)
    for entry in _averages_first(found):
        if entry.accuracy:
            gathered[row(entry.key)][column(entry.key)] = entry.accuracy
    return gathered


def base2new(found: Sequence[Entry]) -> list[Table]:
    """One table of base, new and their harmonic mean, with a row for each dataset and method."""
    gathered = _gather(found, lambda k: (k.dataset, k.label), lambda k: k.part)
    rows = []
    for (dataset, label), parts in gathered.items():
        cells = tuple(parts.get(part) for part in ("base", "new", "hm"))
        rows.append(Row((dataset, label), cells, label, dataset, (dataset,)))
    note = "HM is the harmonic mean of the two means; of an average, that of the averages."
    columns = (Column("Base"), Column("New"), Column("HM"))
    return [Table("Base and new classes", note, ("Dataset", "Method"), columns, tuple(rows))]


def cross_dataset(found: Sequence[Entry]) -> list[Table]:
    """A table for each source and kind of target: rows are methods; columns the source, each target, their average."""
    made = []
    for source in dict.fromkeys(e.key.source for e in found):
        for part, title in (("target", "Other datasets"), ("shifted", "Shifted variants")):
            own = [e for e in found if e.key.source == source and e.key.part in (part, "source")]
            if any(e.key.part == part for e in own):
                made.append(_targets(own, f"{title}, trained on {source}", source, lambda k: (k.label,), ("Method",)))
    return made


def _targets(found: Sequence[Entry], title: str, source: str, row: Callable, heads: tuple[str, ...]) -> Table:
    tested = list(dict.fromkeys(e.key.dataset for e in found))
    averages = [name for name in tested if name.startswith(AVERAGE)]
    names = [*(n for n in tested if n == source), *(n for n in tested if n not in (source, *averages)), *averages]
    gathered = _gather(sorted(found, key=lambda e: e.key.part != "source"), row, lambda k: k.dataset)
    rows = [Row(key, tuple(cells.get(n) for n in names), key[-1], "", key[:-1]) for key, cells in gathered.items()]
    columns = tuple(Column(f"{n} (source)" if n == source else n, n) for n in names)
    return Table(title, "", heads, columns, tuple(rows))


def few_shot(found: Sequence[Entry]) -> list[Table]:
    """One table with a row for each dataset and method, and a column for each number of shots.

    A method without training has the same number in every column.
    """
    counts = sorted({e.key.shots for e in found} - {0}) or [0]
    gathered = _gather(found, lambda k: (k.dataset, k.label), lambda k: k.shots)
    rows = [
        Row((dataset, label), tuple(cells.get(k, cells.get(0)) for k in counts), label, dataset, (dataset,))
        for (dataset, label), cells in gathered.items()
    ]
    note = "Training images a class. A method without training has the same number in every column."
    columns = tuple(Column(shots_text(k)) for k in counts)
    return [Table("Accuracy against shots", note, ("Dataset", "Method"), columns, tuple(rows))]


def clean_everywhere(found: Sequence[Entry]) -> list[Entry]:
    """The entries, with those of rate 0 copied to every type of noise, since all types share the clean runs."""
    types = list(dict.fromkeys(e.key.noise_type for e in found))
    known = {e.key for e in found}
    copies = [
        Entry(key, e.numbers)
        for e in found
        if e.key.noise_rate == 0
        for kind in types
        if (key := replace(e.key, noise_type=kind)) not in known
    ]
    return [*found, *copies]


def noise(found: Sequence[Entry]) -> list[Table]:
    """A table for each type of noise: rows are datasets and methods, columns are rates."""
    made = []
    every = clean_everywhere(found)
    for kind in dict.fromkeys(e.key.noise_type for e in found):
        own = [e for e in every if e.key.noise_type == kind]
        rates = sorted({e.key.noise_rate for e in own})
        gathered = _gather(own, lambda k: (k.dataset, k.label, k.method), lambda k: k.noise_rate)
        rows = []
        for (dataset, label, method), cells in gathered.items():
            flat = cells.get(0.0) if method in UNTRAINED else None
            numbers = tuple(cells.get(rate, flat) for rate in rates)
            rows.append(Row((dataset, label), numbers, label, dataset, (dataset,)))
        note = "Columns: the share of training labels that are wrong. Test labels are right."
        columns = tuple(Column(rate_text(rate)) for rate in rates)
        made.append(
            Table(f"Accuracy under {spoken(kind)} label noise", note, ("Dataset", "Method"), columns, tuple(rows))
        )
    return made


def noise_xd(found: Sequence[Entry]) -> list[Table]:
    """A table for each source and type of noise: rows are rates and methods, columns are tested datasets."""
    made = []
    for source, kind in dict.fromkeys((e.key.source, e.key.noise_type) for e in found):
        own = [e for e in found if (e.key.source, e.key.noise_type) == (source, kind)]
        own.sort(key=lambda e: e.key.noise_rate)
        title = f"Other datasets, trained on {source} with {spoken(kind)} label noise"
        made.append(_targets(own, title, source, lambda k: (rate_text(k.noise_rate), k.label), ("Wrong", "Method")))
    return made


def real_noise(found: Sequence[Entry]) -> list[Table]:
    """One table with a row for each test set and method."""
    keys = [(e.key, e.accuracy) for e in found]
    rows = [Row((k.dataset, k.label), (accuracy,), k.label, k.dataset, (k.dataset,)) for k, accuracy in keys]
    title, note = "Accuracy after training on web labels", "A second name in a dataset's is that of the test set."
    return [Table(title, note, ("Dataset", "Method"), (Column("Accuracy"),), tuple(rows))]


def test_time(found: Sequence[Entry]) -> list[Table]:
    """One table with a row for each dataset and method, and a column for each attack, clean first."""
    attacks = sorted({e.key.attack for e in found}, key=attack_order)
    gathered: dict[tuple[str, str], dict[str, Number]] = defaultdict(dict)
    for e in _averages_first(found):
        if number := e.numbers.get("adv_accuracy" if e.key.attack else "accuracy"):
            gathered[e.key.dataset, e.key.label][e.key.attack] = number
    rows = [
        Row((dataset, label), tuple(cells.get(a) for a in attacks), label, dataset, (dataset,))
        for (dataset, label), cells in gathered.items()
    ]
    note = "Attacked pictures were made on frozen CLIP, the same for all methods: transfer, not robustness."
    columns = tuple(Column(a or "clean") for a in attacks)
    return [Table("Accuracy on clean and attacked pictures", note, ("Dataset", "Method"), columns, tuple(rows))]


def robust(found: Sequence[Entry]) -> list[Table]:
    """One table with a row for each dataset, attack and method: clean, attacked, transfer and worst-case accuracy."""
    titles = dict(zip(MEASURED, ("Clean", "Attacked", "Transfer", "Worst"), strict=True))
    used = {key: title for key, title in titles.items() if any(key in e.numbers for e in found)}
    rows = []
    order = {e.key.dataset: i for i, e in reversed(list(enumerate(_averages_first(found))))}
    for e in sorted(
        found, key=lambda e: (order[e.key.dataset], attack_order(e.key.attack), attacker(e.key.mode) == "transfer")
    ):
        heads = (e.key.dataset, e.key.attack, e.key.mode, e.key.label)
        group = (e.key.dataset, e.key.attack, attacker(e.key.mode))
        rows.append(Row(heads, tuple(e.numbers.get(key) for key in used), e.key.label, e.key.dataset, group))
    note = (
        "Attacked: by the attacker of the row, who knows frozen CLIP (transfer), the method (white-box), or all of a "
        "defence that adapts (adaptive). Transfer: the pictures made on frozen CLIP. Worst: right under every attack."
    )
    columns = tuple(Column(title) for title in used.values())
    heads = ("Dataset", "Attack", "Attacker", "Method")
    return [Table("Clean accuracy and accuracy under attack", note, heads, columns, tuple(rows))]


def robust_base2new(found: Sequence[Entry]) -> list[Table]:
    """One table with a row for each dataset, attack and method: base, new and their harmonic mean, clean and attacked.

    The harmonic means are those of the two accuracies, not of single images.
    """
    kinds = {"accuracy": "", "adv_accuracy": " attacked"}
    gathered: dict[tuple, dict[tuple[str, str], Number | None]] = defaultdict(dict)
    for e in sorted(_averages_first(found), key=lambda e: attack_order(e.key.attack)):
        row = e.key.dataset, e.key.attack, e.key.mode, e.key.label
        gathered[row] |= {(kind, e.key.part): e.numbers.get(kind) for kind in kinds}
    places = [(kind, part) for kind in kinds for part in ("base", "new", "hm")]
    rows = [
        Row(heads, tuple(cells.get(place) for place in places), heads[-1], heads[0], heads[:3])
        for heads, cells in gathered.items()
    ]
    titles = {"base": "Base", "new": "New", "hm": "HM"}
    columns = tuple(Column(titles[part] + kinds[kind]) for kind, part in places)
    note = "Attacked: by the attacker of the row. HM is the harmonic mean of the base and the new accuracy beside it."
    heads = ("Dataset", "Attack", "Attacker", "Method")
    return [Table("Base and new classes, clean and under attack", note, heads, columns, tuple(rows))]


def robust_cross_dataset(found: Sequence[Entry]) -> list[Table]:
    """For each source the table of `robust`, whose rows are the source and its targets."""
    made = []
    for source in dict.fromkeys(e.key.source for e in found):
        (table,) = robust([e for e in found if e.key.source == source])
        made.append(replace(table, title=f"{table.title}, trained on {source}"))
    return made


def conditions(found: Sequence[Entry]) -> list[Table]:
    """One table with a row for each dataset, condition and method, and a column for each strength of the condition."""
    named = [(e, *e.key.condition.rpartition("-")[::2]) for e in _averages_first(found)]
    strengths = sorted({strength for *_, strength in named}, key=lambda text: condition_order(f"-{text}"))
    gathered: dict[tuple[str, str, str], dict[str, Number | None]] = defaultdict(dict)
    for e, name, strength in named:
        gathered[e.key.dataset, name.replace("_", " "), e.key.label][strength] = e.accuracy
    rows = [
        Row((dataset, name, label), tuple(cells.get(s) for s in strengths), label, dataset, (dataset, name))
        for (dataset, name, label), cells in gathered.items()
    ]
    note = "Models were trained on clean images and text; columns: severity, or strength of the noise."
    columns = tuple(Column(strength) for strength in strengths)
    return [Table("Accuracy under the condition", note, ("Dataset", "Condition", "Method"), columns, tuple(rows))]


def added(found: Sequence[Entry]) -> list[Table]:
    """The table of a protocol that has none of its own: a row for each dataset, part of the classes and method."""
    keys = [(e.key, e.accuracy) for e in found]
    rows = [Row((k.dataset, k.part, k.label), (number,), k.label, k.dataset, (k.dataset, k.part)) for k, number in keys]
    return [Table("Accuracy", "", ("Dataset", "Classes", "Method"), (Column("Accuracy"),), tuple(rows))]


def other(found: Sequence[Entry]) -> list[Table]:
    """The table of runs of no protocol, which are not compared."""
    rows = [Row((e.key.dataset, e.key.part, e.key.label), (e.accuracy,), e.key.label, e.key.dataset, ()) for e in found]
    note = "They are of no protocol, so that they are not compared."
    heads = ("Dataset", "Classes", "Method")
    return [Table("Accuracy", note, heads, (Column("Accuracy"),), tuple(rows), compared=False)]


MAKERS = {
    "base2new": base2new, "cross_dataset": cross_dataset, "few_shot": few_shot, "noise": noise, "noise_xd": noise_xd,
    "real_noise": real_noise, "test_time": test_time, "online": test_time, "robust": robust,
    "robust_base2new": robust_base2new, "robust_cross_dataset": robust_cross_dataset,
    "corruption": conditions, "text_noise": conditions, "other": other,
}  # fmt: skip
