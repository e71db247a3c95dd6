"""Base / New / HM: accuracies gathered over seeds, their means, spreads and averages over datasets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pandas import DataFrame

from dassl.utils.spread import MISSING, mean, plus_minus, shown, spread, words
from runs.config_names import KNOWN_CLASSES_ONLY

from .results import Result, results

BySeedOfPart = dict[str, dict[int, float]]  # {"base" or "new": {seed: accuracy}}
Accuracies = dict[tuple[str, str], BySeedOfPart]  # of each (dataset, method)


def harmonic_mean(base: float, new: float) -> float:
    """The harmonic mean 2BN / (B + N); 0 if both are 0."""
    return 2 * base * new / (base + new) if base + new else 0.0


BySeed = dict[tuple[str, str, int, str], float]  # {(dataset, method, seed, "base" or "new"): accuracy}


def by_seed(found: Iterable[Result]) -> BySeed:
    return {(r.name, r.method, r.seed, r.kind): r.accuracy for r in found if r.protocol == "base2new"}


def accuracies(frame: DataFrame, remarks: list[str]) -> Accuracies:
    """The accuracies of base-to-new in the rows of `collect`, over ascending seeds (see `gather`).

    A sentence for each seed that is left out is appended to `remarks`.
    """
    found = by_seed(results(frame))
    remarks += unpaired(found)
    return gather(found)


def gather(found: BySeed) -> Accuracies:
    """The accuracies over the seeds that have base and new; if only one half has results, over its seeds."""
    gathered: Accuracies = {}
    for key, parts in _halves(found).items():
        seeds = [seed for seed in parts["base"] if seed in parts["new"]]
        if seeds or not (parts["base"] and parts["new"]):
            gathered[key] = {part: {s: own[s] for s in seeds or own} for part, own in parts.items()}
    return gathered


def base_alone(method: str) -> bool:
    """Whether the method can only predict its training classes, so that it has a base accuracy and no new one. method:
    the name of its row."""
    return method.partition(" (")[0] in KNOWN_CLASSES_ONLY


def said_of_base_alone(methods: Iterable[str]) -> str:
    """A sentence on those of the methods that have no new accuracy; "" for none."""
    known = [method for method in dict.fromkeys(methods) if base_alone(method)]
    return f"{', '.join(known)} can only predict training classes, so there is no New and no HM." if known else ""


def unpaired(found: BySeed) -> list[str]:
    """A sentence for each dataset and method with seeds that have only base or only new."""
    said = []
    for (dataset, method), parts in _halves(found).items():
        if base_alone(method):
            continue
        for part, other in (("base", "new"), ("new", "base")):
            alone = [str(seed) for seed in parts[part] if seed not in parts[other]]
            if alone:
                seeds = f"seed{'s' * (len(alone) > 1)} {', '.join(alone)}"
                said.append(f"{method} on {dataset}: {seeds} left out, with {part} classes but no {other} ones.")
    return said


def _halves(found: BySeed) -> Accuracies:
    halves: Accuracies = defaultdict(lambda: {"base": {}, "new": {}})
    for (dataset, method, seed, part), accuracy in found.items():
        halves[dataset, method][part][seed] = accuracy
    return dict(halves)


@dataclass(frozen=True)
class Line:
    """One row of the table. base, new: {seed: accuracy}, of the same seeds; of an average, the averages of single
    seeds over datasets. means: (base, new) where no seed has all datasets of an average, else None."""

    dataset: str
    method: str
    base: dict[int, float]
    new: dict[int, float]
    means: tuple[float, float] | None = None

    @property
    def hm(self) -> float:
        return harmonic_mean(*(self.means or (mean(self.base.values()), mean(self.new.values()))))

    def cells(self, interval: bool = False) -> list[str]:
        """Base, new and HM with their spreads, and the number of seeds."""
        if self.means:
            return [*(shown([each]) for each in self.means), f"{self.hm:.2f}", ""]
        if not self.new:
            return [shown(list(self.base.values()), interval=interval), MISSING, MISSING, str(len(self.base))]
        of_seeds = [harmonic_mean(self.base[s], self.new[s]) for s in self.base]
        halves = [shown(list(part.values()), interval=interval) for part in (self.base, self.new)]
        return [*halves, plus_minus(self.hm, spread(of_seeds, interval)), str(len(self.base))]


def lines(found: Accuracies, alone: bool = False) -> list[Line]:
    """A line for each dataset and method, then each method's average over its datasets if it has several. alone: also
    for methods without new classes (`base_alone`)."""
    made, of_method = [], defaultdict(list)
    for (dataset, method), parts in found.items():
        if parts["base"] and (parts["new"] or (alone and base_alone(method))):
            made.append(Line(dataset, method, parts["base"], parts["new"]))
            of_method[method].append(made[-1])
    return made + [_average(own) for own in of_method.values() if len(own) > 1]


def _average(own: Sequence[Line]) -> Line:
    """The average of a method's lines: over the seeds that have every dataset; if no seed has, of the means."""
    seeds = [s for s in own[0].base if all(s in line.base for line in own)]
    name, method = f"average of {len(own)}", own[0].method
    if base_alone(method):
        return Line(name, method, {s: mean([line.base[s] for line in own]) for s in seeds}, {})
    base, new = ({s: mean([getattr(line, part)[s] for line in own]) for s in seeds} for part in ("base", "new"))
    of_means = tuple(mean([mean(getattr(line, part).values()) for line in own]) for part in ("base", "new"))
    return Line(name, method, base, new, None if seeds else of_means)


def rows(found: Accuracies, interval: bool = False) -> list[list[str]]:
    """The lines as text: dataset, method, base, new, HM, seeds.

    interval: ± is half the width of the 95 % interval instead of the deviation.
    """
    return [[line.dataset, line.method, *line.cells(interval)] for line in lines(found, alone=True)]


HEADERS = ["dataset", "method", "Base", "New", "HM", "seeds"]


def caption(interval: bool = False) -> str:
    return (
        f"Accuracy in %, mean over seeds; ± is {words(interval)}. HM: the harmonic mean of the two means. An average "
        "is over the seeds that have all of its datasets, and its ± is that of the single seeds' averages."
    )
