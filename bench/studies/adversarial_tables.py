"""Tables of methods under attack: clean accuracy beside accuracy under each attack, each mode in rows of its own."""

from __future__ import annotations

import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pandas import DataFrame

from dassl.utils.counted import counted
from dassl.utils.spread import MISSING, Marked, mean, shown, words
from robustness.checks import more_is_not_weaker
from runs.robust_protocol import MODES

from ..drawing.collapse import MARK
from ..drawing.report import Section
from ..reading.files import DAMAGE, damaged, read_record, whole
from ..reading.layout import dataset_name
from .rows import told_apart

REFERENCE = "ZeroshotCLIP"
NOTE = (
    f"Accuracy in percent, mean over seeds; ± is {words()}. transfer: attacked is frozen CLIP, the same "
    "pictures for all methods; white-box: the method itself and its prompts; adaptive: the whole test-time defence. "
    "worst: right on the clean picture and under every attack that the row was given. drop: clean accuracy less "
    "zero-shot CLIP's. dynamic, random: methods that optimise or draw while they answer; of these, transfer figures "
    "say nothing of an attacker who knows the method."
)
ATTACK = re.compile(r"(?P<name>.+)-eps(?P<eps>[\d.]+)-(?P<steps>\d+)(-n\d+)?")  # as a folder names it


@dataclass(frozen=True)
class Point:
    """One attack on one dataset, which is a point of a curve."""

    dataset: str
    attack: str  # pgd, aa, ...
    eps: float
    steps: int


@dataclass
class Found:
    """The results of the study. values[method, point, kind]: {seed: accuracy}, where kind is clean, the name of a mode,
    or worst. kinds: the modes that are shown."""

    kinds: Sequence[str]
    values: dict[tuple[str, Point, str], dict[int, float]] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)  # of methods: static, dynamic+random
    failed: list[str] = field(default_factory=list)  # checks, one line each
    images: dict[str, int] = field(default_factory=dict)  # of datasets

    def seeds(self, method: str, point: Point, kind: str) -> dict[int, float]:
        return self.values.get((method, point, kind), {})

    @property
    def methods(self) -> list[str]:
        return list(dict.fromkeys(method for method, _, _ in self.values))

    @property
    def datasets(self) -> list[str]:
        return list(dict.fromkeys(point.dataset for _, point, _ in self.values))

    @property
    def attacks(self) -> list[str]:
        return list(dict.fromkeys(point.attack for _, point, _ in self.values))

    def points(self, dataset: str, attack: str) -> list[Point]:
        """The points of a dataset and attack: first those with the most steps by eps, then those with fewer steps."""
        found = {p for _, p, _ in self.values if (p.dataset, p.attack) == (dataset, attack)}
        most = max((p.steps for p in found), default=0)
        return sorted(found, key=lambda p: (p.steps != most, p.eps, p.steps))


def read(frame: DataFrame, output: Path, modes: Sequence[str] = tuple(MODES)) -> Found:
    """The results from the rows of `rows_of`. Raises InputError for a file that is no evaluation under attack."""
    found = Found([MODES[mode] for mode in modes])
    for row in frame[frame["protocol"] == "robust"].to_dict("records"):
        attack = ATTACK.fullmatch(row["attack"])
        if not attack:
            continue
        method = told_apart(row["method"], row["settings"])
        point = Point(row["dataset"], attack["name"], float(attack["eps"]), int(attack["steps"]))
        kinds = {"clean": "accuracy", "transfer": "transfer_accuracy", row["mode"]: "adv_accuracy"}
        for kind, column in (kinds | {"worst": "worst_accuracy"}).items():
            if kind in ("clean", "worst", *found.kinds) and row[column] == row[column]:
                number = Marked(row[column], MARK) if row["collapsed"] is True else row[column]
                found.values.setdefault((method, point, kind), {})[row["seed"]] = number
        _take_facts(found, method, row, output / row["folder"] / "results.json")
    found.failed += _rising(found)
    return found


def _take_facts(found: Found, method: str, row: dict, file: Path) -> None:
    """Add what an evaluation records beside its accuracies: kind of method, number of images, failed checks."""
    where = f"{method}, {row['dataset']}, {row['mode']} {row['attack']}, seed {row['seed']}"
    try:
        record = read_record(file)
        found.labels[method], found.images[row["dataset"]] = str(record["label"]), whole(record, "images") or 0
        for check in record["checks"]:
            if check["passed"] is False:
                found.failed.append(f"{where}: {check['code']} {check['name']} failed ({check['detail']})")
    except DAMAGE as error:
        raise damaged(file, error) from error


def _rising(found: Found) -> list[str]:
    """Check S3 over the sweep: a line for each method, attack and mode whose accuracy rises with eps or steps."""
    lines = []
    for dataset in found.datasets:
        for method in found.methods:
            for kind in found.kinds:
                for attack in found.attacks:
                    by_eps, by_steps = curves(found, method, dataset, attack, kind)
                    check = more_is_not_weaker(
                        {x: statistics.fmean(v) for x, v in by_eps.items()},
                        {x: statistics.fmean(v) for x, v in by_steps.items()},
                        found.images.get(dataset, 0),
                    )
                    if check.passed is False:
                        lines.append(f"{method}, {dataset}, {kind} {attack}: S3 {check.name} failed ({check.detail})")
    return lines


def curves(found: Found, method: str, dataset: str, attack: str, kind: str) -> tuple[dict, dict]:
    """({eps: accuracies}, {steps: accuracies}); eps 0 is the clean accuracy."""
    by_eps: dict[float, list[float]] = {}
    by_steps: dict[int, list[float]] = {}
    points = found.points(dataset, attack)
    most = max((p.steps for p in points), default=0)
    middle = {p.eps for p in points if p.steps != most}  # the eps at which the steps vary
    for p in points:
        values = list(found.seeds(method, p, kind).values())
        if not values:
            continue
        if p.steps == most:
            by_eps[p.eps] = values
            by_eps.setdefault(0.0, list(found.seeds(method, p, "clean").values()))
        if p.eps in middle:
            by_steps[p.steps] = values
    return by_eps, by_steps


def sections(found: Found) -> list[Section]:
    """A table for each dataset and attack, and one over all datasets if there are several."""
    groups = [[d] for d in found.datasets] + ([found.datasets] if len(found.datasets) > 1 else [])
    made = [_section(found, datasets, attack) for datasets in groups for attack in found.attacks]
    return [section for section in made if section.rows]


def _section(found: Found, datasets: Sequence[str], attack: str) -> Section:
    """One table: a row for each method and mode, a column for each eps and number of steps."""
    places = list(dict.fromkeys((p.eps, p.steps) for d in datasets for p in found.points(d, attack)))
    most = places[0][1] if places else 0
    headers = ["method", "kind", "clean", "drop", "attacker"]
    headers += [f"eps {eps:g}" + (f", {counted(steps, 'step')}" if steps != most else "") for eps, steps in places]
    rows = []
    for method in found.methods if places else ():
        clean = _mean(found, method, datasets, attack, (*places[0], "clean"))
        reference = _mean(found, REFERENCE, datasets, attack, (*places[0], "clean"))
        drop = f"{statistics.fmean(clean) - statistics.fmean(reference):+.1f}" if clean and reference else MISSING
        for kind in (*found.kinds, "worst"):
            values = [_mean(found, method, datasets, attack, (*place, kind)) for place in places]
            if any(values):
                about = [method, found.labels.get(method, MISSING), shown(clean, 1), drop]
                rows.append([*about, kind, *(shown(each, 1) for each in values)])
    names = ", ".join(f"{dataset_name(d)} ({counted(found.images.get(d, 0), 'image')})" for d in datasets)
    return Section(f"{attack}, {counted(most, 'step')}: {names}", "", headers, rows)


def _mean(found: Found, method: str, datasets: Sequence[str], attack: str, place: tuple) -> list[float]:
    """The means over datasets, one for each seed that has results on all of them."""
    eps, steps, kind = place
    each = [found.seeds(method, Point(d, attack, eps, steps), kind) for d in datasets]
    common = set.intersection(*(set(values) for values in each))
    return [mean([values[seed] for values in each]) for seed in sorted(common)]
