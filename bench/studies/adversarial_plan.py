"""The evaluations of a sweep under attack: methods, datasets, attacks, eps, steps, modes, seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from attacks.settings import NAMES
from dassl.utils import InputError
from runs.config_names import UNTRAINED
from runs.protocols import Settings
from runs.robust_protocol import MODES

from ..suites.robust_step import RobustStep, mode_of, seeds_of, without_attack
from ..suites.step import Job, Step

DEFAULT_STEPS = 100
WITHOUT_EPS_OR_STEPS = ("none", "cw-l2")


@dataclass(frozen=True)
class Point:
    """One attack on one dataset: a place on the curves."""

    dataset: str
    attack: str  # pgd, aa, ...
    eps: float
    steps: int


@dataclass(frozen=True)
class Sweep:
    """eps sweep at the most steps; steps sweep at `middle`, the eps nearest to 4. subset 0: all images."""

    methods: Sequence[str]
    datasets: Sequence[str]
    attacks: Sequence[str]
    eps: Sequence[float]
    steps: Sequence[int]
    modes: Sequence[str]
    seeds: Sequence[int]
    subset: int = 0

    def __post_init__(self) -> None:
        wrong = [a for a in self.attacks if a not in NAMES or a in WITHOUT_EPS_OR_STEPS]
        if wrong:
            there = ", ".join(name for name in NAMES if name not in WITHOUT_EPS_OR_STEPS)
            raise InputError(f"--attacks {', '.join(wrong)} cannot be compared over eps; there are {there}.")
        if bad := [m for m in self.modes if m not in MODES]:
            raise InputError(f"--modes {', '.join(bad)} is not known; there are {', '.join(MODES)}.")
        if not all(0 < e <= 255 for e in self.eps) or not all(s >= 1 for s in self.steps) or self.subset < 0:
            raise InputError(
                "--eps must be above 0 and at most 255 (in 1/255), --steps at least 1, --subset not negative."
            )

    @property
    def middle(self) -> float:
        return min(self.eps, key=lambda e: (abs(e - 4), e))

    def points(self, dataset: str) -> list[Point]:
        """Of a dataset. AutoAttack has its own 100 steps."""
        found = []
        for attack in self.attacks:
            most = DEFAULT_STEPS if attack == "aa" else max(self.steps)
            found += [Point(dataset, attack, eps, most) for eps in self.eps]
            if attack != "aa":
                found += [Point(dataset, attack, self.middle, steps) for steps in self.steps if steps != most]
        return found

    def seeds_of(self, method: str) -> Sequence[int]:
        return seeds_of(method, self.seeds)

    def mode(self, method: str, attack: str) -> str | None:
        return mode_of(method, attack, self.modes)

    def step(self, method: str, point: Point, seed: int, settings: Settings) -> RobustStep | None:
        mode = self.mode(method, point.attack)
        if mode is None:
            return None
        subset = ("ATTACK.SUBSET", str(self.subset)) if self.subset else ()
        pairs = (f"{point.eps:g}", str(point.steps), mode, "ATTACK.NAME", point.attack, *subset, *settings.pairs)
        return RobustStep("robust", method, point.dataset, seed, replace(settings, pairs=pairs))

    def jobs(self, settings: Settings) -> list[Job]:
        """For each seed, dataset and method: the training where there is one, then its evaluations."""
        plain = replace(settings, pairs=without_attack(settings.pairs))
        found = []
        for seed in self.seeds:
            for dataset in self.datasets:
                for method in self.methods:
                    if seed not in self.seeds_of(method):
                        continue
                    steps = [self.step(method, point, seed, settings) for point in self.points(dataset)]
                    steps = [step for step in steps if step]
                    if method not in UNTRAINED and steps:
                        found.append((Step("few_shot", method, dataset, seed, plain), *steps))
                    else:
                        found += [(step,) for step in steps]
        return list(dict.fromkeys(found))
