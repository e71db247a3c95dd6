"""Tables of a sweep under attack: clean accuracy beside accuracy under each attack, per mode, never mixed."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from dassl.utils.spread import MISSING, shown, words
from robustness.checks import more_is_not_weaker
from runs.protocols import Settings
from runs.robust_protocol import MODES

from ..drawing.report import Section
from ..reading.accounts import CLEAN
from ..reading.apart import mixed
from .adversarial_plan import Point, Sweep

REFERENCE = "ZeroshotCLIP"
NOTE = (
    f"Accuracy in percent, mean over seeds; ± is {words()}. transfer: attacked is frozen CLIP, the same "
    "pictures for all methods; white-box: the method itself and its prompts; adaptive: the whole test-time defence. "
    "worst: right on the clean picture and under every attack that the row was given. drop: clean accuracy less "
    "zero-shot CLIP's. dynamic, random: methods that optimise or draw while they answer; of these, transfer figures "
    "say nothing of an attacker who knows the method."
)


@dataclass
class Found:
    """values[method, point, kind]: {seed: accuracy}, kind being clean, a mode's name, or worst."""

    sweep: Sweep
    values: dict[tuple[str, Point, str], dict[int, float]] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)  # of methods: static, dynamic+random
    failed: list[str] = field(default_factory=list)  # checks, one line each
    images: dict[str, int] = field(default_factory=dict)  # of datasets

    def seeds(self, method: str, point: Point, kind: str) -> dict[int, float]:
        return self.values.get((method, point, kind), {})


def read(sweep: Sweep, settings: Settings) -> Found:
    """All finished evaluations of a sweep."""
    found = Found(sweep)
    for method in sweep.methods:
        for dataset in sweep.datasets:
            for point in sweep.points(dataset):
                reports = {}
                for seed in sweep.seeds_of(method):
                    step = sweep.step(method, point, seed, settings)
                    if report := step.report() if step else None:
                        reports[seed] = report
                own = [of for _, of in reports.values()]
                if why := mixed(own) or next((f"{word}: {of.file}" for of in own for word in of.always), ""):
                    found.failed.append(f"{method}, {point}: left out, its runs differ in more than the seed, {why}")
                    continue
                for seed, (report, of) in reports.items():
                    _take(found, method, point, seed, report)
                    if of.labels not in ("", CLEAN):
                        found.labels[method] += f", {of.labels}"
    found.failed += _rising(found)
    return found


def _take(found: Found, method: str, point: Point, seed: int, report: dict) -> None:
    wanted = {"clean": "clean", "worst": "worst case"} | {MODES[m]: MODES[m] for m in found.sweep.modes}
    for kind, name in wanted.items():
        if name in report["figures"]:
            accuracy = report["figures"][name]["accuracy"]
            found.values.setdefault((method, point, kind), {})[seed] = accuracy
    found.labels[method], found.images[point.dataset] = report["label"], report["images"]
    where = f"{method}, {point.dataset}, {report['mode']} {report['attack']}, seed {seed}"
    for check in report["checks"]:
        if check["passed"] is False:
            found.failed.append(f"{where}: {check['code']} {check['name']} failed ({check['detail']})")


def _rising(found: Found) -> list[str]:
    """S3 over a sweep: accuracy that rises with eps or steps, per method, attack and mode; lines for what does."""
    lines, sweep = [], found.sweep
    for dataset in sweep.datasets:
        for method in sweep.methods:
            for kind in (MODES[m] for m in sweep.modes):
                for attack in sweep.attacks:
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
    points = [p for p in found.sweep.points(dataset) if p.attack == attack]
    most = max(p.steps for p in points)
    for p in points:
        values = list(found.seeds(method, p, kind).values())
        if not values:
            continue
        if p.steps == most:
            by_eps[p.eps] = values
            by_eps.setdefault(0.0, list(found.seeds(method, p, "clean").values()))
        if p.eps == found.sweep.middle:
            by_steps[p.steps] = values
    return by_eps, by_steps


def sections(found: Found) -> list[Section]:
    """A table a dataset and attack, and one over all datasets where there are several."""
    sweep, made = found.sweep, []
    groups = [[d] for d in sweep.datasets] + ([list(sweep.datasets)] if len(sweep.datasets) > 1 else [])
    for datasets in groups:
        for attack in sweep.attacks:
            section = _section(found, datasets, attack)
            if section.rows:
                made.append(section)
    if made:
        last = made[-1]
        made[-1] = Section(last.title, NOTE, last.headers, last.rows)
    return made


def _section(found: Found, datasets: Sequence[str], attack: str) -> Section:
    """Rows are methods by attackers, columns the attack's eps and steps."""
    sweep = found.sweep
    places = [(p.eps, p.steps) for p in sweep.points(datasets[0]) if p.attack == attack]
    most = places[0][1]
    headers = ["method", "kind", "clean", "drop", "attacker"]
    headers += [f"eps {eps:g}" + (f", {steps} steps" if steps != most else "") for eps, steps in places]
    reference = _mean(found, REFERENCE, datasets, attack, (*places[0], "clean"))
    rows = []
    for method in sweep.methods:
        clean = _mean(found, method, datasets, attack, (*places[0], "clean"))
        drop = f"{statistics.fmean(clean) - statistics.fmean(reference):+.1f}" if clean and reference else MISSING
        for kind in (*(MODES[m] for m in sweep.modes), "worst"):
            values = [_mean(found, method, datasets, attack, (*place, kind)) for place in places]
            if any(values):
                about = [method, found.labels.get(method, MISSING), shown(clean, 1), drop]
                rows.append([*about, kind, *(shown(each, 1) for each in values)])
    names = ", ".join(f"{d} ({found.images.get(d, 0)} images)" for d in datasets)
    return Section(f"{attack}, {most} steps: {names}", "", headers, rows)


def _mean(found: Found, method: str, datasets: Sequence[str], attack: str, place: tuple) -> list[float]:
    """A value a seed: the mean over datasets, of the seeds that have them all."""
    eps, steps, kind = place
    each = [found.seeds(method, Point(d, attack, eps, steps), kind) for d in datasets]
    common = set.intersection(*(set(values) for values in each))
    return [statistics.fmean(values[seed] for values in each) for seed in sorted(common)]
