"""The figures of the robustness card: for each method one number on each axis, over seeds, and why one is missing."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from pandas import DataFrame

from dassl.utils import InputError
from dassl.utils.counted import counted
from dassl.utils.spread import spread
from runs.about import VERSIONS
from runs.config_names import UNTRAINED
from runs.targets import SHIFTS

from .accounts import VALIDATION
from .card_tests import AxisTests
from .corruption import by_seed as corruption_by_seed
from .layout import dataset_name
from .order import method_order

ORACLE = "oracle"  # begins the variant of whatever was chosen by test accuracy, see bench/suites/select.py
# What tells results apart that a figure averages over, and whose configs have to be one.
CELL = [
    "method", "variant", "settings", "protocol", "part", "dataset", "source", "shots", "noise_type", "noise_rate",
    "attack", "mode", "condition",
]  # fmt: skip
SHIFTED = {name for names in SHIFTS.values() for name in names}


@dataclass(frozen=True)
class Axis:
    """One axis. values: rows of `collect` of one method, one dataset and one seed -> the figure, NaN for none.

    protocol: whose rows these are. group: of axes in pages. higher: whether more is better; None: not ranked.
    """

    name: str
    title: str
    group: str
    protocol: str
    values: Callable[[DataFrame], float]
    higher: bool | None = True
    digits: int = 2
    about: str = ""


@dataclass(frozen=True)
class Figure:
    """A figure of a method. mean: over the seeds that have every dataset; spread: NaN for one seed. rank: 1 is best, of
    `of` methods; 0 without one. missing: why there is none, else ""."""

    mean: float = math.nan
    spread: float = math.nan
    seeds: tuple[int, ...] = ()
    rank: int = 0
    of: int = 0
    missing: str = ""


@dataclass(frozen=True)
class Card:
    """All figures. figures: {method: {axis: Figure}}; datasets: {axis: those that it averages over}; versions: of the
    protocols whose runs are in it; remarks: sentences for below the table."""

    backbone: str
    axes: tuple[Axis, ...]
    figures: Mapping[str, Mapping[str, Figure]]
    datasets: Mapping[str, tuple[str, ...]]
    versions: Mapping[str, int]
    remarks: tuple[str, ...] = field(default=())


def _mean(column: str = "accuracy", **only: object) -> Callable[[DataFrame], float]:
    """The mean of a column over the rows in which other columns have these values."""

    def values(rows: DataFrame) -> float:
        for key, value in only.items():
            rows = rows[rows[key] == value]
        found = rows[column].dropna()
        return float(found.mean()) if len(found) else math.nan

    return values


def _most_shots(column: str, scale: float = 1) -> Callable[[DataFrame], float]:
    """A column of the few-shot run with most images a class."""

    def values(rows: DataFrame) -> float:
        found = rows[rows["shots"] == rows["shots"].max()][column].dropna()
        return float(found.iloc[0]) * scale if len(found) else math.nan

    return values


def _harmonic(rows: DataFrame) -> float:
    base, new = (_mean(part=part)(rows) for part in ("base", "new"))
    return math.nan if math.isnan(base + new) else 2 * base * new / (base + new) if base + new else 0.0


def _slope(rows: DataFrame) -> float:
    """Percent gained by each doubling of the training images: least squares over log2 of the shots."""
    rows = rows[(rows["shots"] > 0)].dropna(subset=["accuracy"])
    if rows["shots"].nunique() < 2:
        return math.nan
    return float(np.polyfit(np.log2(rows["shots"].astype(float)), rows["accuracy"], 1)[0])


def _noise_area(rows: DataFrame) -> float:
    """Mean over types of noise of the area under accuracy against rate (trapezoids), over the width of the rates; the
    accuracy itself of a method without training, which meets no labels."""
    if rows["method"].iloc[0] in UNTRAINED:
        return _mean()(rows)
    clean = rows[rows["noise_rate"] == 0]
    found = []
    for kind, own in rows[rows["noise_rate"] > 0].groupby("noise_type"):
        points = own.groupby("noise_rate")["accuracy"].mean()
        start = clean[clean["noise_type"] == kind] if (clean["noise_type"] == kind).any() else clean
        if len(start):
            points.loc[0.0] = start["accuracy"].mean()
        points = points.sort_index()
        if len(points) > 1:
            x, y = points.index.to_numpy(float), points.to_numpy(float)
            found.append(float(((y[1:] + y[:-1]) / 2 * np.diff(x)).sum() / (x[-1] - x[0])))
    return statistics.fmean(found) if found else math.nan


def _noise_worst(rows: DataFrame) -> float:
    """Accuracy at each type's highest rate, the lowest of these."""
    if rows["method"].iloc[0] in UNTRAINED:
        return _mean()(rows)
    noisy = rows[rows["noise_rate"] > 0].dropna(subset=["accuracy"])
    found = [
        own[own["noise_rate"] == own["noise_rate"].max()]["accuracy"].min() for _, own in noisy.groupby("noise_type")
    ]
    return float(min(found)) if found else math.nan


def _collapsed(rows: DataFrame) -> float:
    told = rows["collapsed"].dropna()
    return 100 * float(told.astype(bool).mean()) if len(told) else math.nan


def _under(modes: Sequence[str]) -> Callable[[DataFrame], float]:
    def values(rows: DataFrame) -> float:
        return _mean("adv_accuracy")(rows[rows["mode"].isin(modes)])

    return values


def _mce(column: str) -> Callable[[DataFrame], float]:
    def values(rows: DataFrame) -> float:  # rows of `corruption.by_seed`
        return float(rows[column].iloc[0]) if len(rows) else math.nan

    return values


def _kinds(worst: bool) -> Callable[[DataFrame], float]:
    """Mean accuracy over the kinds of text noise, each the mean of its strengths; or the lowest of all tests."""

    def values(rows: DataFrame) -> float:
        rows = rows[~rows["condition"].str.startswith("template-")].dropna(subset=["accuracy"])
        if not len(rows):
            return math.nan
        kinds = rows["condition"].str.rpartition("-")[0]
        return float(rows["accuracy"].min() if worst else rows.groupby(kinds)["accuracy"].mean().mean())

    return values


ECE = "expected calibration error of the few-shot test, 15 bins, %"
AXES = (
    Axis("clean", "Clean", "Clean", "few_shot", _most_shots("accuracy"), about="few-shot test, most shots, %"),
    Axis("slope", "Slope", "Clean", "few_shot", _slope, about="% gained by a doubling of the training images"),
    Axis("clean_collapsed", "Clean, collapsed", "Clean", "few_shot", _collapsed, False, 1, "share of these runs, %"),
    Axis("base", "Base", "Unseen classes", "base2new", _mean(part="base"), about="base classes, %"),
    Axis("new", "New", "Unseen classes", "base2new", _mean(part="new"), about="new classes, %"),
    Axis("hm", "HM", "Unseen classes", "base2new", _harmonic, about="harmonic mean of base and new, %"),
    Axis("cross", "Cross", "Shift", "cross_dataset", _mean(part="target"), about="other datasets, %"),
    Axis("shifted", "Shifted", "Shift", "shifted", _mean(), about="shifted variants of the source, %"),
    Axis("noise_area", "Noise", "Label noise", "noise", _noise_area, about="area under accuracy against rate, %"),
    Axis("noise_worst", "Worst", "Label noise", "noise", _noise_worst, about="lowest of each type's highest rate, %"),
    Axis("collapsed", "Collapsed", "Label noise", "noise", _collapsed, False, 1, "share of runs that collapsed, %"),
    Axis("white_box", "White-box", "Attack", "robust", _under(["white-box"]), about="right under white-box attack, %"),
    Axis("adaptive", "Adaptive", "Attack", "robust", _under(["adaptive"]), about="right under adaptive attack, %"),
    Axis("corrupted", "Corrupted", "Corruption", "mce", _mce("accuracy"), about="mean over 15 corruptions x 5, %"),
    Axis("mce", "mCE", "Corruption", "mce", _mce("mce"), False, about="error relative to zero-shot CLIP's, %"),
    Axis("text", "Text", "Text noise", "text_noise", _kinds(False), about="mean over kinds of text noise, %"),
    Axis("text_worst", "Text, worst", "Text noise", "text_noise", _kinds(True), about="lowest of these tests, %"),
    Axis("ece", "ECE", "Calibration", "few_shot", _most_shots("ece"), False, about=ECE),
    Axis("values", "Values", "Cost", "few_shot", _most_shots("learnable_numbers"), False, 0, "learned numbers"),
    Axis("seconds", "Time", "Cost", "few_shot", _most_shots("seconds"), False, 1, "seconds of the few-shot run"),
    Axis("memory", "Memory", "Cost", "few_shot", _most_shots("peak_memory_bytes", 2**-20), False, 0, "its peak, MiB"),
)  # fmt: skip


def card(
    frame: DataFrame,
    backbone: str = "",
    axes: Sequence[Axis] = AXES,
    interval: bool = False,
    methods: Sequence[str] = (),
) -> Card:
    """The card of the rows of `collect`. backbone: whose runs; may be left out where all have one. methods: only these;
    zero-shot CLIP remains what mCE is relative to.

    Raises InputError for runs of several backbones, of other versions of a protocol, and where there is none.
    """
    known = sorted({str(name) for name in frame["backbone"] if name})
    if not backbone and len(known) > 1:
        raise InputError(
            f"These runs are of the backbones {' and '.join(known)}: a card is of one; give --backbone NAME."
        )
    if backbone and backbone not in known:
        raise InputError(f"There are no runs of the backbone {backbone}; there are of {', '.join(known) or 'none'}.")
    unknown = int((frame["backbone"] == "").sum()) if known else 0
    frame = frame[frame["backbone"] == (backbone or (known[0] if known else ""))]
    tuned = frame["settings"].map(lambda text: VALIDATION in text.split(", "))
    frame, left_out = frame[~tuned], int(tuned.sum())
    versions = _versions(frame)
    label = _Label(frame)
    frame = frame.assign(label=[label(row) for row in frame.to_dict("records")])
    used = {axis.name: _rows(frame, axis, label) for axis in axes}
    if methods:
        used = {name: rows[rows["method"].isin(methods)] for name, rows in used.items()}
    if all(rows.empty for rows in used.values()):
        raise InputError("There are no runs of the protocols that a card has; docs/card.md names them.")
    labels = sorted(
        {label for rows in used.values() for label in rows["label"]}, key=lambda x: (method_order(x.split(" (")[0]), x)
    )
    datasets = {axis.name: tuple(dict.fromkeys(sorted(used[axis.name]["dataset"]))) for axis in axes}
    figures: dict[str, dict[str, Figure]] = {label: {} for label in labels}
    for axis in axes:
        tests = AxisTests(axis.name, axis.protocol, used[axis.name])
        rows = dict(iter(used[axis.name].groupby("label")))
        own = {label: _figure(axis, tests, rows.get(label), datasets[axis.name], interval) for label in labels}
        for label, found in _ranked(axis, own).items():
            figures[label][axis.name] = found
    return Card(
        backbone or (known[0] if known else ""),
        tuple(axes),
        figures,
        datasets,
        versions,
        tuple(_remarks(frame, left_out, unknown)),
    )


class _Label:
    """The row of a result: its method, and in brackets what keeps it apart from others of the method. These are variant
    and settings, a number of shots below the largest that others of the protocol are trained with (a few-shot axis is
    over shots), and the config where results that would be averaged have several."""

    def __init__(self, frame: DataFrame) -> None:
        self.most = frame.groupby("protocol")["shots"].max().to_dict()
        cells = frame.groupby(CELL, dropna=False)["cfg"].nunique()
        self.several = {(key[0], key[3]) for key, number in cells.items() if number > 1}

    def __call__(self, row: Mapping, protocol: str = "") -> str:
        protocol = protocol or row["protocol"]
        fewer = protocol != "few_shot" and 0 < row["shots"] < self.most[protocol]
        more = [row["variant"], row["settings"], counted(row["shots"], "shot") if fewer else ""]
        more.append(row["cfg"] if (row["method"], protocol) in self.several else "")
        told = ", ".join(filter(None, more))
        return f"{row['method']} ({told})" if told else row["method"]


def _versions(frame: DataFrame) -> dict[str, int]:
    found = {}
    for protocol, own in frame.groupby("protocol"):
        told = sorted({int(v) for v in own["protocol_version"].fillna(1)})
        if len(told) > 1:
            raise InputError(
                f"These runs are of versions {' and '.join(map(str, told))} of the protocol {protocol}, whose numbers "
                "are not comparable; make those of the older version anew, or move them away."
            )
        if protocol in VERSIONS:
            found[str(protocol)] = told[0]
    return found


def _rows(frame: DataFrame, axis: Axis, label: _Label) -> DataFrame:
    if axis.protocol == "mce":
        found = corruption_by_seed(frame)
        return found.assign(label=[label(row, "corruption") for row in found.to_dict("records")])
    if axis.protocol in ("cross_dataset", "shifted"):
        rows = frame[(frame["protocol"] == "cross_dataset") & (frame["part"] == "target")]
        return rows[rows["dataset"].isin(SHIFTED) == (axis.protocol == "shifted")]
    return frame[frame["protocol"] == axis.protocol]


def _figure(axis: Axis, tests: AxisTests, own: DataFrame | None, datasets: Sequence[str], interval: bool) -> Figure:
    """The mean over seeds of the mean over datasets. own: the rows of one label; None if there are none."""
    if own is None:
        return Figure(missing="no runs of this protocol")
    by_seed: dict[int, dict[str, float]] = {}
    lacking: set[str] = set()
    for (seed, dataset), each in own.groupby(["seed", "dataset"]):
        if absent := tests.absent(each, str(dataset)):
            lacking |= absent
            continue
        value = axis.values(each)
        if not math.isnan(value):
            by_seed.setdefault(int(seed), {})[str(dataset)] = value
    whole = {
        seed: statistics.fmean(values.values()) for seed, values in by_seed.items() if len(values) == len(datasets)
    }
    if not whole:
        there = {dataset for values in by_seed.values() for dataset in values}
        if lacking:
            some = sorted(lacking)
            more = f" and {len(some) - 3} more" if len(some) > 3 else ""
            return Figure(missing=f"without {', '.join(some[:3])}{more}, which another method has")
        absent = ", ".join(dataset_name(name) for name in datasets if name not in there)
        return Figure(missing=f"no figure on {absent}" if absent else "no seed has every dataset")
    values = [whole[seed] for seed in sorted(whole)]
    return Figure(statistics.fmean(values), spread(values, interval), tuple(sorted(whole)))


def _ranked(axis: Axis, own: Mapping[str, Figure]) -> dict[str, Figure]:
    """With ranks among the methods that have a figure; equal means, as printed, have equal ranks."""
    there = {label: round(f.mean, axis.digits) for label, f in own.items() if not f.missing}
    if axis.higher is None or len(there) < 2:
        return dict(own)
    found = {}
    for label, f in own.items():
        if label in there:
            better = sum(v > there[label] if axis.higher else v < there[label] for v in there.values())
            f = Figure(f.mean, f.spread, f.seeds, better + 1, len(there), "")
        found[label] = f
    return found


def _remarks(frame: DataFrame, left_out: int, unknown: int) -> list[str]:
    """left_out: the number of results on validation images, by which settings are chosen; a card is of test images.
    unknown: of those that do not say which backbone they are of."""
    oracle = sorted({row["label"] for row in frame.to_dict("records") if str(row["variant"]).split("/")[0] == ORACLE})
    told = [f"{name}: its setting was chosen by test accuracy (oracle)." for name in oracle]
    told += [f"Left out: {counted(left_out, 'result')} on validation images."] if left_out else []
    told += [f"Left out: {counted(unknown, 'result')} without a known backbone."] if unknown else []
    return told + _devices(frame)


def _devices(frame: DataFrame) -> list[str]:
    """A sentence on the devices that the results come from, where there are several: the last bits of a training differ
    between them, and so do times."""
    found = frame["device"].replace("", "not named").value_counts()
    if len(found) < 2:
        return []
    each = "; ".join(f"{name} ({counted(int(number), 'result')})" for name, number in sorted(found.items()))
    return [f"Computed on several devices, on which one seed trains differently and times do not compare: {each}."]
