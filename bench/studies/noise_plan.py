"""The runs of a label-noise sweep: variants of methods, datasets, types and rates of noise, seeds."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dassl.utils import InputError
from datasets.noisy import SWAPS, TYPES
from runs.protocols import PROTOCOLS, UNTRAINED, Settings

from ..suites.methods import check_methods, named_variants
from ..suites.step import Job, Step
from .variants import Variant

CLEAN = ("sym_other", 0.0)  # no label is wrong: the clean run, for all types that change labels
NAMED = named_variants()
Point = tuple[str, str, float]  # dataset, noise type, rate


class NoiseStep(Step):
    """One run of `noise_train`; its settings' pairs begin with the noise's type and rate."""

    def __str__(self) -> str:
        kind, rate, *pairs = self.settings.pairs
        words = [f"{key.rpartition('.')[2]} {value}" for key, value in zip(pairs[::2], pairs[1::2], strict=False)]
        own = f" ({', '.join(words)})" if words else ""
        return f"{self.method}{own} {self.dataset} {kind} {rate} seed {self.seed}"

    @property
    def folder(self) -> Path:
        """Where it writes."""
        arguments = PROTOCOLS[self.protocol](self.method, self.dataset, self.seed, self.settings)
        return Path(arguments[arguments.index("--output-dir") + 1])


@dataclass(frozen=True)
class Sweep:
    """types: {noise type: its rates, ascending}."""

    variants: Sequence[Variant]
    datasets: Sequence[str]
    types: dict[str, list[float]]
    seeds: Sequence[int]

    def points(self) -> Iterator[Point]:
        yield from ((d, kind, rate) for d in self.datasets for kind, rates in self.types.items() for rate in rates)

    def seeds_of(self, variant: Variant) -> Sequence[int]:
        """A method without training has one: its runs do not differ."""
        return self.seeds[:1] if variant.method in UNTRAINED else self.seeds


def step(variant: Variant, point: Point, seed: int, settings: Settings) -> NoiseStep:
    """The run that fills this place of a table; one run may fill several."""
    dataset, *noise = point
    if variant.method in UNTRAINED or (noise[1] == 0 and noise[0] not in SWAPS):
        noise = CLEAN  # images swapped at rate 0 are another sample than the clean one
    pairs = (noise[0], str(noise[1]), *settings.pairs, *variant.pairs)
    own = replace(settings, output=str(Path(settings.output) / variant.folder), pairs=pairs)
    return NoiseStep("noise_train", variant.method, dataset, seed, own)


def jobs(sweep: Sweep, settings: Settings) -> list[Job]:
    """Every run once, seed by seed, so that a first table is there early."""
    steps = [
        step(variant, point, seed, settings)
        for seed in sweep.seeds
        for point in sweep.points()
        for variant in sweep.variants
        if seed in sweep.seeds_of(variant)
    ]
    return [(each,) for each in dict.fromkeys(steps)]


def read_variants(names: Sequence[str]) -> list[Variant]:
    """From `METHOD`, a name of `NAMED`, or `METHOD:KEY=VALUE,KEY=VALUE`. Raises InputError for unknown methods."""
    named = {name.casefold(): name for name in NAMED}
    found = []
    for text in names:
        method, colon, rest = text.partition(":")
        if colon:
            pairs = [part.partition("=")[::2] for part in rest.split(",")]
            if not all(key and value for key, value in pairs):
                raise InputError(f"{text!r} should be METHOD:KEY=VALUE,KEY=VALUE, such as PTNL:TRAINER.PTNL.LOSS=gce.")
            check_methods([method])
            words = ", ".join(f"{key.rpartition('.')[2]} {value}" for key, value in pairs)
            folder = "variants/" + re.sub(r"[^\w.=,-]", "_", f"{method},{rest}")
            found.append(Variant((f"{method} ({words})",), folder, method, tuple(x for pair in pairs for x in pair)))
        elif text.casefold() in named:
            name = named[text.casefold()]
            found.append(Variant((name,), f"variants/{name}", *NAMED[name]))
        else:
            found += [Variant((name,), "", name) for name in check_methods([text])]
    return list(dict.fromkeys(found))


def read_types(texts: Sequence[str]) -> dict[str, list[float]]:
    """{type: rates, ascending} from `TYPE:RATE,RATE`; rate 0, where one type has it, is a point of all.

    Raises InputError for an unknown type and for rates outside [0, 1).
    """
    found: dict[str, set[float]] = {}
    for text in texts:
        kind, _, rates = text.partition(":")
        if kind not in TYPES:
            raise InputError(f"There is no noise type {kind!r}; there are {', '.join(TYPES)}.")
        try:
            values = {float(rate) for rate in rates.split(",")}
        except ValueError:
            raise InputError(f"{text!r} should be TYPE:RATE,RATE, such as {kind}:0.25,0.5.") from None
        if not all(0 <= rate < 1 for rate in values):
            raise InputError(f"Rates are at least 0 and below 1, not as in {text!r}.")
        found[kind] = found.get(kind, set()) | values
    clean = {0.0} if any(0.0 in rates for rates in found.values()) else set()
    return {kind: sorted(rates | clean) for kind, rates in found.items()}
