"""Finds the results of our runs for a row of a published table, and says how their settings differ."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from dassl.utils.counted import counted
from runs.config_names import UNTRAINED
from runs.targets import SHIFTS, TARGETS

from ..reading.aggregate import aggregate, average, one_config
from ..reading.files import read_json
from ..reading.layout import dataset_name
from .published import Ours, Printed, Table

YES, UNKNOWN, NO = "yes", "unknown", "no"  # whether two numbers may be compared


@dataclass(frozen=True)
class Match:
    """Our result for a published number.

    row: of `aggregate`, or None without a result. comparable: `YES`, `UNKNOWN` or `NO`; "" without a result. remarks:
    the differences in settings and what is not known.
    """

    row: pd.Series | None = None
    comparable: str = ""
    remarks: tuple[str, ...] = ()


class OurRuns:
    """Our runs for a row of a published table. All have one backbone and one number of shots, the table's if possible.

    frame: of `collect(output)`.
    """

    def __init__(self, frame: pd.DataFrame, output: Path, table: Table, ours: Ours) -> None:
        self.table, self.method = table, ours.method
        here = frame[(frame["protocol"] == table.protocol) & (frame["method"] == ours.method)]
        if table.source and (here["source"] == table.source).any():
            here = here[here["source"] == table.source]
        here, self.missing = _variant(here, output, ours.settings)
        self.others = here[here["settings"] != ""]  # runs whose settings differ are not compared
        here = here[here["settings"] == ""]
        self.rows = one_config(self._nearest(here))
        self.doubts, self.obstacles = self._differences()
        self._known: dict[tuple[str, str], tuple[pd.DataFrame, str, str]] = {}

    def find(self, cell: Printed) -> Match:
        if self.rows.empty:
            missing = self.missing or self._apart(cell)
            return Match(remarks=(missing,) if missing else ())
        name = cell.dataset if cell.dataset in self.table.averages else ""
        if (name, cell.metric) not in self._known:
            self._known[name, cell.metric] = self._numbers(name, cell)
        found, missing, obstacle = self._known[name, cell.metric]
        types = self.table.noise_types.get(cell.noise_type, [cell.noise_type])
        found = found[(found["part"] == cell.part) & (found["attack"] == cell.attack) & found["noise_type"].isin(types)]
        if not name:
            found = found[found["dataset"] == cell.dataset]
        if cell.noise_rate is not None:
            found = found[(found["noise_rate"] - cell.noise_rate).abs() < 1e-6]
        apart = self._apart(cell)
        if found.empty:
            return Match(remarks=tuple(filter(None, [missing, apart])))
        row = found.iloc[found["noise_type"].map(types.index).argmin()]
        obstacles = [*self.obstacles, *filter(None, [obstacle])]
        doubts = [*self.doubts, *filter(None, [apart])]
        if len(types) > 1:
            doubts.append(f"which {cell.noise_type} noise is not stated, ours is {row['noise_type']}")
        level = NO if obstacles else UNKNOWN if doubts else YES
        return Match(row, level, (*obstacles, *doubts))

    def _apart(self, cell: Printed) -> str:
        """A remark on runs that this number leaves out, because they differ in more than the seed; "" for none."""
        if self.others.empty:
            return ""
        parts = ("base", "new") if cell.part == "hm" else (cell.part,)
        here = self.others[self.others["part"].isin(parts)]
        if cell.dataset not in self.table.averages:
            here = here[here["dataset"] == cell.dataset]
        told = ", ".join(dict.fromkeys(here["settings"].str.replace("; ", ", ")))
        return f"ours left out, as they differ in more than the seed: {told}" if told else ""

    def _nearest(self, here: pd.DataFrame) -> pd.DataFrame:
        """The rows of one (backbone, shots, source): the most similar to the table's, then the one with most rows."""
        if here.empty:
            return here
        sources = here["source"] if self.table.source else [""] * len(here)  # if it changes with the dataset, ignore it
        key = pd.Series(list(zip(here["backbone"], here["shots"], sources, strict=True)), index=here.index)
        counts = key.value_counts()

        def like(one: tuple) -> tuple:
            backbone, shots, _ = one
            return self._same_shots(shots), backbone == self.table.backbone, counts[one], one

        return here[key == max(counts.index, key=like)]

    def _same_shots(self, shots: int) -> bool:
        return self.table.shots is None or self.method in UNTRAINED or shots == self.table.shots

    def _differences(self) -> tuple[list[str], list[str]]:
        """(remarks on settings that the paper does not state, remarks on settings that differ from the paper's)."""
        doubts: list[str] = []
        obstacles: list[str] = []
        if self.rows.empty:
            return doubts, obstacles
        first = self.rows.iloc[0]
        if self.table.backbone is None:
            doubts.append(f"backbone not stated, ours is {first['backbone'] or 'not known'}")
        elif first["backbone"] != self.table.backbone:
            obstacles.append(f"ours on {first['backbone'] or 'a backbone not known'}, not {self.table.backbone}")
        if self.method not in UNTRAINED and self.table.shots is None:
            doubts.append(f"shots not stated, ours are {shown(first['shots'])}")
        elif not self._same_shots(first["shots"]):
            obstacles.append(f"ours with {shown(first['shots'])} shots, not {self.table.shots}")
        if self.table.source and first["source"] != self.table.source:
            obstacles.append(f"ours trained on {first['source'] or 'nothing'}, not {self.table.source}")
        return doubts, obstacles

    def _numbers(self, name: str, cell: Printed) -> tuple[pd.DataFrame, str, str]:
        """(rows of `aggregate`, why there are none, why they cannot be compared). name: of an average, or ""."""
        if not name:
            return aggregate(self.rows, cell.metric), "", ""
        wanted, here = self.table.averages[name], set(self.rows["dataset"])
        there = [d for d in wanted if d in here]
        if len(there) == len(wanted):
            return average(self.rows, wanted, cell.metric), "", ""
        if there:
            return self.rows.head(0), f"ours has {len(there)} of its {counted(len(wanted), 'dataset')}", ""
        others = self._other_data(wanted, cell)
        return average(self.rows, others, cell.metric), "", f"ours over {', '.join(map(dataset_name, others))}"

    def _other_data(self, wanted: list[str], cell: Printed) -> list[str]:
        """The datasets of an average if we have none of the paper's, as with the embedded suite."""
        parts = ("base", "new") if cell.part == "hm" else (cell.part,)
        here = self.rows[self.rows["part"].isin(parts)]
        names = sorted(set(here["dataset"]))
        if self.table.protocol == "cross_dataset":
            kind = SHIFTS if set(wanted) <= set(SHIFTS["imagenet"]) else TARGETS
            return [d for d in names if d in kind.get(here["source"].iloc[0] if len(here) else "", ())]
        return names


def shown(shots: int) -> str:
    """A number of shots as text; "all" for -1."""
    return "all" if shots < 0 else str(shots)


# ---------------------------------------------------------------------- settings


def _variant(here: pd.DataFrame, output: Path, settings: dict[str, object]) -> tuple[pd.DataFrame, str]:
    """(rows of the plain runs, or of the one variant with these settings; why there are none)."""
    plain = here[here["variant"] == ""]
    if not settings:
        return plain, ""
    fitting = []
    for (variant, _), rows in here.groupby(["variant", "cfg"], sort=True):
        if variant not in fitting and _fits(output / rows["folder"].iloc[0] / "results.json", settings):
            fitting.append(variant)
    if "" in fitting:
        return plain, ""
    if len(fitting) == 1:
        return here[here["variant"] == fitting[0]], ""
    reason = f"several of ours have its settings: {', '.join(fitting)}" if fitting else ""
    return here.head(0), reason


def _fits(file: Path, settings: dict[str, object]) -> bool:
    """Whether the run's resolved config has these values."""
    try:
        config = read_json(file)["config"]
        return all(_value(config, key) == value for key, value in settings.items())
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _value(config: dict, key: str) -> object:
    for part in key.split("."):
        config = config[part]
    return config
