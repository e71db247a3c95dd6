"""Computes the numbers in cells of tables: mean and deviation over seeds with their runs, averages over datasets."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace

from pandas import DataFrame

from bench.reading.aggregate import aggregate, average
from bench.reading.layout import ACROSS, HALVES, ROBUST, dataset_name
from runs.targets import SHIFTS

AVERAGED = ("base2new", "cross_dataset", "few_shot", "noise", "noise_xd", "test_time", "online", *ROBUST)
AVERAGED += ("corruption", "text_noise")
AVERAGE = "average of "
MEASURED = ("accuracy", "adv_accuracy", "transfer_accuracy", "worst_accuracy")


@dataclass(frozen=True)
class Number:
    """A number in percent. std: the value after ±, None for one seed. runs: its rows in the frame of `naming.named`.
    collapsed: how many of its seeds had runs that collapsed."""

    mean: float
    std: float | None
    count: int
    runs: tuple[int, ...]
    collapsed: int = 0


@dataclass(frozen=True)
class Key:
    """The cell of a number. part: as in the frame, or `shifted` for a target that is a variant of the source, or `hm`.

    source: of tests on other datasets. shots: of few-shot, else -1. noise_rate: -1 without noise.
    """

    protocol: str
    part: str
    label: str
    method: str
    dataset: str
    source: str = ""
    shots: int = -1
    noise_type: str = ""
    noise_rate: float = -1.0
    attack: str = ""
    mode: str = ""
    condition: str = ""


@dataclass(frozen=True)
class Entry:
    """The numbers of one cell. numbers: {column of MEASURED: its number}, without columns that no run measured."""

    key: Key
    numbers: dict[str, Number]

    @property
    def accuracy(self) -> Number | None:
        return self.numbers.get("accuracy")


def entries(frame: DataFrame, interval: bool = False) -> list[Entry]:
    """The entries of a frame from `naming.named`, in its order, with averages over datasets at the end.

    interval: ± is half the width of the 95 % interval instead of the deviation.
    """
    after = "ci95" if interval else "std"
    methods = dict(zip(frame["label"], frame["method"], strict=True))
    # a label includes the variant and config, so it replaces the method here
    frame = frame.assign(method=frame["label"], cfg="")
    keys = [_key(row, methods) for row in frame.to_dict("records")]
    runs: dict[Key, list[int]] = defaultdict(list)
    for run, key in enumerate(keys):
        runs[key].append(run)
    numbers: dict[Key, dict[str, Number]] = {key: {} for key in runs}
    for value in MEASURED:
        for row in aggregate(frame, value).to_dict("records"):
            key = _key(row, methods)
            numbers.setdefault(key, {})[value] = _number(row, after, _behind(key, runs))
    for key, value, number in _averages(frame, keys, methods, after):
        numbers.setdefault(key, {})[value] = number
    return [Entry(key, found) for key, found in numbers.items() if found]


def spelled(entry: Entry) -> Entry:
    """The entry with datasets as all tables spell them."""
    key = entry.key
    return replace(entry, key=replace(key, dataset=dataset_name(key.dataset), source=dataset_name(key.source)))


def _averages(
    frame: DataFrame, keys: list[Key], methods: dict[str, str], after: str
) -> Iterator[tuple[Key, str, Number]]:
    """The averages over the datasets of each table, of methods with results on all of them."""
    scopes: dict[Key, list[int]] = defaultdict(list)
    runs: dict[Key, list[int]] = defaultdict(list)
    for run, key in enumerate(keys):
        runs[key].append(run)
        if key.protocol in AVERAGED and key.part != "source":
            scopes[_scope(key)].append(run)
    for scope, members in scopes.items():
        own = frame.iloc[members]
        datasets = list(dict.fromkeys(own["dataset"]))
        for value in MEASURED if len(datasets) > 1 else ():
            if own[value].isna().all():
                continue
            for row in average(own, datasets, value).to_dict("records"):
                # `average` leaves out a source that is the tested dataset itself
                key = _key(row | {"source": scope.source, "part": _part(scope, row)}, methods)
                each = [run for d in datasets for run in _behind(replace(key, dataset=d), runs)]
                yield replace(key, dataset=f"{AVERAGE}{len(datasets)}"), value, _number(row, after, each)


def _part(scope: Key, row: dict) -> str:
    return row["part"] if scope.protocol in HALVES else scope.part


def _scope(key: Key) -> Key:
    """A key that is equal for cells of one table, over which averages are taken. Base and new are one table."""
    part = "" if key.protocol in HALVES else key.part
    return replace(key, part=part, dataset="", label="", method="", shots=-1, noise_rate=-1.0, mode="")


def _behind(key: Key, runs: dict[Key, list[int]]) -> list[int]:
    parts = ("base", "new") if key.part == "hm" else (key.part,)
    return [run for part in parts for run in runs.get(replace(key, part=part), ())]


def _number(row: dict, after: str, runs: list[int]) -> Number:
    spread = None if math.isnan(row[after]) else row[after]
    return Number(row["mean"], spread, int(row["n"]), tuple(runs), int(row["collapsed"]))


def _key(row: dict, methods: dict[str, str]) -> Key:
    protocol, rate, dataset = row["protocol"], row["noise_rate"], row["dataset"]
    source = row["source"] if protocol in ACROSS else ""
    return Key(
        protocol, "shifted" if dataset in SHIFTS.get(source, ()) else row["part"], row["method"],
        methods[row["method"]],
        dataset, source, int(row["shots"]) if protocol == "few_shot" else -1,
        row["noise_type"], -1.0 if math.isnan(rate) else rate, row["attack"], row["mode"], row["condition"],
    )  # fmt: skip
