"""Label noise across datasets: methods trained on one set with wrong labels, then tested on others.

python -m bench.noise_xd --methods ZeroshotCLIP CoOp PTNL DPSEP --source shapes --type sym_other --rates 0.5 \\
    --seeds 1 2 3 --jobs 2 --output output/noise_xd --markdown table.md

--source imagenet is Table 3 of DP-SEP: 16 images a class, tested on OxfordPets, Food101, DTD and UCF101. Runs land
where scripts/METHOD/noise_xd_train.sh and noise_xd_test.sh would put them; a finished one is not run again. Methods are
named as for bench.noise.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dassl.utils import InputError
from dassl.utils.spread import shown, words
from runs.noise_protocols import NOISE_TARGETS, noise_xd_folder, take_noise
from runs.protocols import UNTRAINED, Settings
from runs.targets import dataset_config

from ..drawing.report import Section, render
from ..reading.files import write_text
from ..running import launch
from ..suites.step import Job
from . import go_ahead, variants
from .noise_plan import CLEAN, NoiseStep, read_types, read_variants
from .noise_tables import Run, other_labels, other_settings, read_run
from .variants import Variant

METHODS = ("ZeroshotCLIP", "CoOp", "PTNL", "DPSEP")
NOTE = (
    "Accuracy in % of all classes after the last epoch; average: over the targets, of the seeds that have all of them; "
    f"± is {words()}."
)


class CrossingStep(NoiseStep):
    """A run of noise_xd_train or noise_xd_test."""

    @property
    def folder(self) -> Path:
        """Where it writes; known without a trained model."""
        noise, _, own = take_noise(self.method, self.settings, self.protocol)
        return noise_xd_folder(self.method, own.source, self.dataset, noise, self.seed, own)


@dataclass(frozen=True)
class Crossing:
    """What is trained on `source` under noise of one `kind`, and tested on `targets`."""

    variants: Sequence[Variant]
    source: str
    targets: Sequence[str]
    kind: str
    rates: Sequence[float]
    seeds: Sequence[int]

    def job(self, variant: Variant, rate: float, seed: int, settings: Settings) -> tuple[CrossingStep, ...]:
        """Training, then its tests. A method without training is the same at every rate."""
        kind, rate = CLEAN if variant.method in UNTRAINED or rate == 0 else (self.kind, rate)
        pairs = (kind, str(rate), *settings.pairs, *variant.pairs)
        folder = str(Path(settings.output) / variant.folder)
        own = replace(settings, output=folder, pairs=pairs, source=self.source)
        tests = [CrossingStep("noise_xd_test", variant.method, target, seed, own) for target in self.targets]
        return CrossingStep("noise_xd_train", variant.method, self.source, seed, own), *tests

    def seeds_of(self, variant: Variant) -> Sequence[int]:
        return self.seeds[:1] if variant.method in UNTRAINED else self.seeds

    def jobs(self, settings: Settings) -> list[Job]:
        """Seed by seed, so that a first table is there early."""
        found = [
            self.job(variant, rate, seed, settings)
            for seed in self.seeds
            for rate in self.rates
            for variant in self.variants
            if seed in self.seeds_of(variant)
        ]
        return list(dict.fromkeys(found))


def sections(crossing: Crossing, settings: Settings, failed: Sequence[str] = ()) -> tuple[list[Section], list[str]]:
    """A table for each rate, and a sentence for each row that is left out because its labels differ from the rest's.

    failed: what `launch.run_all` said; what lies in the folders of these steps is another run's.
    """
    found, sentences = [], []
    for rate in crossing.rates:
        runs = {variant: _of_seeds(crossing, variant, rate, settings, failed) for variant in crossing.variants}
        mixtures = {}
        for column in range(1 + len(crossing.targets)):
            here = {v: {(rate, seed): row[column] for seed, row in by_seed.items() if row[column]}
                    for v, by_seed in runs.items() if v not in mixtures}  # fmt: skip
            mixtures |= other_settings(crossing.source, crossing.kind, here)
        sentences += mixtures.values()
        runs = {v: by_seed for v, by_seed in runs.items() if v not in mixtures}
        sources = {v: {(rate, seed): row[0] for seed, row in by_seed.items() if row[0]} for v, by_seed in runs.items()}
        strangers = other_labels(crossing.source, crossing.kind, {v: r for v, r in sources.items() if r})
        sentences += strangers.values()
        rows = [_row(v, by_seed) for v, by_seed in runs.items() if v not in strangers]
        rows = [row for row in rows if row]
        headers = ["method", f"{crossing.source} (source)", *crossing.targets, "average", "seeds"]
        if rows:
            found.append(Section(f"{crossing.source}, {crossing.kind}, {100 * rate:g}%", "", headers, rows))
    return found[:-1] + [replace(section, note=NOTE) for section in found[-1:]], sentences


def _of_seeds(
    crossing: Crossing, variant: Variant, rate: float, settings: Settings, failed: Sequence[str]
) -> dict[int, list[Run | None]]:
    """{seed: runs on the source and the targets}; None where one is not finished."""
    found = {}
    for seed in crossing.seeds_of(variant):
        train, *tests = crossing.job(variant, rate, seed, settings)
        lost = {str(each) for each in (train, *tests) if any(f.startswith(f"{each}: ") for f in failed)}
        if variant.method in UNTRAINED or str(train) not in lost and read_run(train):
            found[seed] = [None if str(each) in lost else read_run(each) for each in (train, *tests)]
    return found


def _row(variant: Variant, runs: dict[int, list[Run | None]]) -> list[str]:
    """Cells of a method; empty where nothing is finished."""
    columns = list(zip(*runs.values(), strict=True))
    if not any(run for column in columns for run in column):
        return []
    cells = [shown([run.accuracy for run in column if run]) for column in columns]
    complete = [statistics.fmean(run.accuracy for run in row[1:]) for row in runs.values() if all(row[1:])]
    return [*variant.cells, *cells, shown(complete), str(len(complete))]


def build(args: argparse.Namespace) -> Crossing:
    """Raises InputError for unknown methods, datasets, types and rates, and for a source without known targets."""
    dataset_config(args.source)
    targets = list(dict.fromkeys(args.targets or NOISE_TARGETS.get(args.source, ())))
    if not targets:
        raise InputError(f"No datasets are known for the source {args.source}; name them with --targets.")
    for target in targets:
        dataset_config(target)
    if args.source in targets:
        raise InputError(f"{args.source} is the source; it is tested in any case: leave it out of --targets.")
    ((kind, rates),) = read_types([f"{args.type}:{','.join(map(str, args.rates))}"]).items()
    return Crossing(read_variants(args.methods), args.source, targets, kind, rates, list(dict.fromkeys(args.seeds)))


def main(argv: list[str] | None = None) -> int:
    parser = variants.parser(__doc__, "output/noise_xd")
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--source", default="shapes", help="training set (default: shapes)")
    parser.add_argument("--targets", nargs="+", help="default: the source's known ones")
    parser.add_argument("--type", default="sym_other", help="of the noise (default: sym_other)")
    parser.add_argument("--rates", nargs="+", type=float, default=[0.5])
    args = go_ahead.parse(parser, argv)
    failures: list[str] = []
    try:
        crossing = build(args)
        settings = go_ahead.settings_of(args)
        if not args.tables_only:
            todo = crossing.jobs(settings)
            if not go_ahead.may_begin(args, todo):
                return 2
            failures = launch.run_all(todo, args.jobs)
        found, refused = sections(crossing, settings, failures)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 2
    print("\n" + (render(found, "simple") if found else f"No finished runs under {args.output}."))  # noqa: T201
    if found and args.markdown:
        write_text(args.markdown, render(found, "github") + "\n")
    for sentence in [*refused, *(f"failed: {failure}" for failure in failures)]:
        print(sentence, file=sys.stderr)  # noqa: T201
    return 1 if failures or refused or not found else 0
