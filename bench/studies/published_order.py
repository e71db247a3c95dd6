"""Sections that put the order of methods by average HM beside that of published tables."""

from __future__ import annotations

from dassl.utils.counted import counted
from dassl.utils.spread import deviation, mean, plus_minus

from ..comparing.order import Agreement, agreements
from ..comparing.published import choose
from ..drawing.base_new import harmonic_mean
from ..drawing.report import Section
from ..drawing.summary import Summary


def published_order(summary: Summary, shots: int) -> list[Section]:
    """A section for each published base-to-new table with so many shots and three or more methods of the summary."""
    ours, spreads = {}, {}
    for method, by_seed in summary.hm.items():
        base, new = summary.base[method], summary.new[method]
        ours[method] = harmonic_mean(mean(base[s] for s in by_seed), mean(new[s] for s in by_seed))
        spreads[method] = deviation(list(by_seed.values()))
    tables = [table for _, found in choose() for table in found]
    return [_section(found, spreads) for found in agreements(ours, spreads, shots, tables)]


def _section(found: Agreement, spreads: dict[str, float]) -> Section:
    best = sorted(found.ours, reverse=True)
    triples = zip(found.methods, found.published, found.ours, strict=True)
    rows = [
        [method, f"{printed:.2f}", str(place), plus_minus(own, spreads[method]), str(best.index(own) + 1)]
        for place, (method, printed, own) in enumerate(triples, start=1)
    ]
    note = (
        f"{found.alike} of {counted(found.pairs, 'pair')} of methods are in the published order: Kendall's tau "
        f"{found.tau:.2f} (1: the same order, -1: the reverse)."
    )
    if found.against:
        told = ", ".join(f"{a} below {b}" for a, b in found.against)
        note += f" Against it, by more than the sum of the two spreads: {told}."
    headers = ["method", "HM, published", "place", "HM, here", "place here"]
    return Section(f"The order of {found.table}", note, headers, rows)
