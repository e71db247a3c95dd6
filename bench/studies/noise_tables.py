"""Accuracy under label noise as tables: a row a method, a column a rate; one table a dataset and noise type."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from dassl.utils.spread import shown, words
from runs.protocols import UNTRAINED, Settings

from ..drawing.report import Section
from ..reading.accounts import Account, account, noise_words
from ..reading.apart import mixed
from ..reading.files import DAMAGE, damaged, open_record, percent
from .noise_plan import NoiseStep, Point, Sweep, step
from .variants import Variant

NOTE = f"Accuracy in % on the clean test set after the last epoch; ± is {words()}."


@dataclass(frozen=True)
class Run:
    """What a finished run's results.json says. manifest: the hash of its noisy training list; None: it has none."""

    accuracy: float
    name: str  # of the dataset
    manifest: str | None
    backbone: str
    account: Account


@dataclass(frozen=True)
class Table:
    """values: {variant: {rate: {seed: accuracy}}}; backbones: {variant: name}."""

    kind: str
    name: str
    rates: Sequence[float]
    values: dict[Variant, dict[float, dict[int, float]]]
    backbones: dict[Variant, str]

    def label(self, variant: Variant) -> list[str]:
        """Its cells; where methods ran on different backbones, the first one names its own."""
        first, *others = variant.cells
        several = len(set(self.backbones.values())) > 1
        return [f"{first} ({self.backbones[variant]})" if several else first, *others]

    def rows(self) -> list[list[str]]:
        found = []
        for variant, by_rate in self.values.items():
            cells = [shown(list(by_rate.get(rate, {}).values())) for rate in self.rates]
            counts = [len(by_seed) for by_seed in by_rate.values()]
            seeds = "-".join(dict.fromkeys((str(min(counts)), str(max(counts)))))
            found.append([*self.label(variant), *cells, seeds])
        return found

    def section(self, headers: Sequence[str]) -> Section:
        columns = [f"{100 * rate:g}%" for rate in self.rates]
        return Section(f"{self.name}, {self.kind}", "", [*headers, *columns, "seeds"], self.rows())


def read_run(each: NoiseStep) -> Run | None:
    """None where the run is not finished. Raises InputError for a file that is no run's."""
    file = each.folder / "results.json"
    try:
        record, config = open_record(file, each.seed)
        noise, backbone = record["noise"], record["backbone"]
        manifest = str(noise["sha256"]) if noise else None
        accuracy, own = percent(record["results"], "accuracy"), account(file, record, config)
        return Run(accuracy, record["dataset"], manifest, str(backbone["name"]), own)
    except FileNotFoundError:
        return None
    except DAMAGE as error:
        raise damaged(file, error) from error


def tables(sweep: Sweep, settings: Settings, failed: Collection[str] = ()) -> tuple[list[Table], list[str]]:
    """The tables of all finished runs, and a sentence for each row that is left out because its labels differ.

    failed: what `str` says of the steps that just failed; what lies in their folders is another run's.
    """
    runs: dict[tuple[str, str], dict[Variant, dict[tuple[float, int], Run]]] = defaultdict(lambda: defaultdict(dict))
    known: dict[NoiseStep, Run | None] = {}  # a clean run stands in the table of every type
    for point in sweep.points():
        for variant in sweep.variants:
            for seed in sweep.seeds_of(variant):
                each = step(variant, point, seed, settings)
                if each not in known:
                    known[each] = None if str(each) in failed else read_run(each)
                if known[each]:
                    runs[point[:2]][variant][point[2], seed] = known[each]
    found, sentences = [], []
    for (dataset, kind), by_variant in runs.items():
        strangers = other_settings(dataset, kind, by_variant)
        alike = {v: r for v, r in by_variant.items() if v not in strangers}
        strangers |= other_labels(dataset, kind, alike)
        sentences += strangers.values()
        kept = {v: r for v, r in by_variant.items() if v not in strangers}
        if kept:
            found.append(_table(kind, sweep.types[kind], kept))
    return found, list(dict.fromkeys(sentences))


def other_settings(
    dataset: str, kind: str, runs: Mapping[Variant, Mapping[tuple[float, int], Run]]
) -> dict[Variant, str]:
    """{variant: sentence} of those with a number, at some rate, of runs that differ in more than the seed, or of
    attacked pictures."""
    found: dict[Variant, str] = {}
    for variant, by_place in runs.items():
        at: dict[float, list[Account]] = defaultdict(list)
        for (rate, _), run in by_place.items():
            at[rate].append(run.account)
        for rate, accounts in at.items():
            others = [a for a in accounts if a.noise and rate and not _is(a.noise, kind, rate)]
            why = mixed(accounts) or next((f"{w}: {a.file}" for a in accounts for w in a.always), "")
            if why := why or next((f"{noise_words(*a.noise)}: {a.file}" for a in others), ""):
                name = " ".join(filter(None, variant.cells))
                found[variant] = (
                    f"{name} is left out of {dataset}, {kind}: at rate {rate:g} its runs are not of it, or differ "
                    f"in more than the seed, {why}; remove what does not belong here, and repeat it."
                )
    return found


def _is(noise: tuple[str, float], kind: str, rate: float) -> bool:
    """Did it train on these wrong labels, as far as it tells?"""
    return noise[1] != noise[1] or (noise[0] == kind and abs(noise[1] - rate) < 1e-6)


def other_labels(dataset: str, kind: str, runs: dict[Variant, dict[tuple[float, int], Run]]) -> dict[Variant, str]:
    """{variant: sentence} of those that trained on other labels than most did at some rate and seed."""
    at: dict[tuple[float, int], dict[Variant, str | None]] = defaultdict(dict)
    for variant, by_place in runs.items():
        for place, run in by_place.items():
            if variant.method not in UNTRAINED:
                at[place][variant] = run.manifest
    found: dict[Variant, str] = {}
    for (rate, seed), manifests in at.items():
        usual, _ = Counter(manifests.values()).most_common(1)[0]  # of equally frequent ones the first
        for variant in (v for v, manifest in manifests.items() if manifest != usual):
            point: Point = (dataset, kind, rate)
            found.setdefault(variant, _sentence(variant, point, seed, manifests[variant], usual))
    return found


def _sentence(variant: Variant, point: Point, seed: int, own: str | None, usual: str | None) -> str:
    dataset, kind, rate = point
    hashes = [manifest[:12] if manifest else "none" for manifest in (own, usual)]
    return (
        f"{' '.join(filter(None, variant.cells))} is left out of {dataset}, {kind}: at rate {rate:g}, seed {seed}, it "
        f"trained on other labels than the rest (manifest {hashes[0]}, not {hashes[1]}); remove its run and repeat it."
    )


def _table(kind: str, rates: Iterable[float], runs: dict[Variant, dict[tuple[float, int], Run]]) -> Table:
    values = {}
    for variant, by_place in runs.items():
        by_rate: dict[float, dict[int, float]] = defaultdict(dict)
        for (rate, seed), run in by_place.items():
            by_rate[rate][seed] = run.accuracy
        values[variant] = dict(by_rate)
    first = {variant: next(iter(by_place.values())) for variant, by_place in runs.items()}
    name = next(iter(first.values())).name
    return Table(kind, name, list(rates), values, {variant: run.backbone for variant, run in first.items()})
