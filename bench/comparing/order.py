"""How far the order of methods by average HM is that of published base-to-new tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from .published import Table

FEWEST = 3  # methods that an order needs


@dataclass(frozen=True)
class Agreement:
    """table: its name; methods: ours in the published order, the best first; published, ours: their average HM;
    pairs: of methods, of different published HM; alike: those that are in the published order here; against: those that
    are not, and lie further apart than the sum of their spreads."""

    table: str
    methods: list[str]
    published: list[float]
    ours: list[float]
    pairs: int
    alike: int
    against: list[tuple[str, str]]  # (the better one as published, the better one here)

    @property
    def tau(self) -> float:
        """Kendall's tau-a: (pairs in order - pairs out of order) / pairs."""
        return (2 * self.alike - self.pairs) / self.pairs


def agreements(
    ours: Mapping[str, float], spreads: Mapping[str, float], shots: int, tables: Sequence[Table]
) -> list[Agreement]:
    """For each published base-to-new table with so many shots that has three or more of our methods. ours: {method: HM
    of the averages}; spreads: {method: deviation of HM over seeds}, NaN counts as 0. Of rows with settings (ablations)
    none is taken; of a method that a table prints twice the first."""
    found = []
    for table in tables:
        if (table.protocol, table.shots) != ("base2new", shots):
            continue
        printed: dict[str, float] = {}
        for cell in table.cells:
            own = table.methods.get(cell.method)
            average = cell.dataset in table.averages and cell.part == "hm" and cell.value is not None
            if average and own is not None and not own.settings and own.method in ours:
                printed.setdefault(own.method, cell.value)
        if len(printed) >= FEWEST:
            found.append(_agreement(table.name, printed, ours, spreads))
    return found


def _agreement(
    name: str, printed: Mapping[str, float], ours: Mapping[str, float], spreads: Mapping[str, float]
) -> Agreement:
    methods = sorted(printed, key=lambda method: -printed[method])
    pairs = [(a, b) for a, b in combinations(methods, 2) if printed[a] > printed[b]]
    alike = [(a, b) for a, b in pairs if ours[a] > ours[b]]
    wide = {method: 0.0 if math.isnan(spread) else spread for method, spread in spreads.items()}
    against = [(a, b) for a, b in pairs if ours[b] - ours[a] > wide[a] + wide[b]]
    values = ([source[method] for method in methods] for source in (printed, ours))
    return Agreement(name, methods, *values, len(pairs), len(alike), against)
