"""Tables of accuracy under label noise, one for each dataset and noise type: rows are methods, columns rates."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from pandas import DataFrame

from dassl.utils.spread import shown, words
from datasets.noise.config import SWAPS
from datasets.noise.names import spoken

from ..drawing.collapse import marked
from ..drawing.report import Section
from ..reading.layout import names_of_configs
from .rows import told_apart

NOTE = f"Accuracy in % on the clean test set after the last epoch; ± is {words()}."
Row = tuple[str, ...]  # the first cells of a row, which name it
Cells = Callable[[str, str, str], Row]  # function of a result's block, variant and method


@dataclass(frozen=True)
class Table:
    """The table of one dataset and noise type.

    values: {row: {rate: {seed: accuracy}}}; untrained: rows of methods without training, equal at each rate.
    """

    kind: str
    name: str
    rates: Sequence[float]
    values: dict[Row, dict[float, dict[int, float]]]
    untrained: frozenset[Row]

    def rows(self) -> list[list[str]]:
        found = []
        for row, by_rate in self.values.items():
            cells = [shown(list(by_rate.get(rate, {}).values())) for rate in self.rates]
            counts = [len(by_seed) for by_seed in by_rate.values()]
            seeds = "-".join(dict.fromkeys((str(min(counts)), str(max(counts)))))
            found.append([*row, *cells, seeds])
        return found


def sections(tables: Sequence[Table], headers: Sequence[str], note: str) -> list[Section]:
    """The tables as text. headers: of the columns that name a row. note: text below the last table."""
    found = [
        Section(
            f"{t.name}, {spoken(t.kind)}", "", [*headers, *(f"{100 * rate:g}%" for rate in t.rates), "seeds"], t.rows()
        )
        for t in tables
    ]
    return found[:-1] + [replace(last, note=note) for last in found[-1:]]


def tables(frame: DataFrame, cells: Cells) -> tuple[list[Table], list[str]]:
    """The tables of the rows of `rows_of`, and a sentence for each row left out since it trained on other labels."""
    found, said = [], []
    frame = named(frame[frame["protocol"] == "noise"], cells)
    for dataset in dict.fromkeys(frame["dataset"]):
        here = frame[frame["dataset"] == dataset]
        clean = here["noise_rate"] == 0
        kinds = list(dict.fromkeys(here[~clean]["noise_type"])) or list(dict.fromkeys(here["noise_type"]))[:1]
        for kind in kinds:
            own = here[(here["noise_type"] == kind) | (clean & ((kind not in SWAPS) | here["untrained"]))]
            others = other_labels(own, f"{dataset}, {kind}")
            said += others.values()
            own = own[~own["row"].isin(list(others))]
            if len(own):
                found.append(_table(kind, names_of_configs().get(dataset, dataset), own))
    return found, said


def named(frame: DataFrame, cells: Cells) -> DataFrame:
    """The rows with a column `row`, the cells that name each, with settings that differ, and backbones if several."""
    several = frame["backbone"].nunique() > 1
    rows = []
    for block, variant, method, settings, backbone in zip(
        *(frame[key] for key in ("block", "variant", "method", "settings", "backbone")), strict=True
    ):
        first, *others = cells(block, variant, method)
        *others, last = told_apart(first, backbone if several else ""), *others
        rows.append((*others, told_apart(last, settings)))
    return frame.assign(row=rows)


def other_labels(frame: DataFrame, where: str) -> dict[Row, str]:
    """{row: sentence} of rows that, at some rate and seed, trained on other labels than most rows."""
    at: dict[tuple[float, int], dict[Row, str]] = defaultdict(dict)
    trained = frame[~frame["untrained"]]
    for row, rate, seed, labels in zip(*(trained[k] for k in ("row", "noise_rate", "seed", "noise_hash")), strict=True):
        at[rate, seed][row] = labels
    found: dict[Row, str] = {}
    for (rate, seed), labels in at.items():
        usual, _ = Counter(labels.values()).most_common(1)[0]  # of equally frequent ones the first
        for row in (row for row, own in labels.items() if own != usual):
            hashes = [each[:12] or "none" for each in (labels[row], usual)]
            found.setdefault(
                row,
                f"{' '.join(filter(None, row))} is left out of {where}: at rate {rate:g}, seed {seed}, it trained on "
                f"other labels than the rest (manifest {hashes[0]}, not {hashes[1]}); remove its run and repeat it.",
            )
    return found


def _table(kind: str, name: str, frame: DataFrame) -> Table:
    rates = sorted(set(frame[~frame["untrained"]]["noise_rate"])) or [0.0]
    values: dict[Row, dict[float, dict[int, float]]] = {}
    for row, untrained, rate, seed, accuracy in zip(
        *(frame[key] for key in ("row", "untrained", "noise_rate", "seed")), marked(frame), strict=True
    ):
        for each in rates if untrained else [rate]:
            values.setdefault(row, {}).setdefault(each, {})[seed] = accuracy
    return Table(kind, name, rates, values, frozenset(frame[frame["untrained"]]["row"]))
