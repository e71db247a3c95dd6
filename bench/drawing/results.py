"""Rows of `collect` as results of base-to-new, cross-dataset and few-shot, each with the name of its row in tables."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace

from pandas import DataFrame

from dassl.utils.counted import counted

from ..reading.layout import dataset_name
from ..reading.order import method_order
from .collapse import marked

PROTOCOLS = ("base2new", "cross_dataset", "few_shot")
KINDS = ("base", "new", "source", "target", "few_shot")


@dataclass(frozen=True)
class Result:
    """One finished run. kind: one of `KINDS`; source is the training set of a cross-dataset run, target a test on
    another set.

    method: the name of its row in tables, with what tells it from others in brackets. dataset, source: names of
    configs. accuracy: in percent, on attacked images if its name says so.
    """

    kind: str
    method: str
    dataset: str
    source: str
    shots: int
    cfg: str
    seed: int
    accuracy: float

    @property
    def protocol(self) -> str:
        return {"base": "base2new", "new": "base2new", "few_shot": "few_shot"}.get(self.kind, "cross_dataset")

    @property
    def name(self) -> str:
        """The registered name of the dataset; of a dataset from outside, the name of its config."""
        return dataset_name(self.dataset)


def results(frame: DataFrame) -> list[Result]:
    """The results of the three protocols in the rows of `collect`, without those of variants.

    The order is that of datasets, then methods (`method_order`), shots and seeds. If a method ran with several configs
    or shots, so that a cell would have two values, its results are named with these; if on several backbones, with
    their names. The column `settings` is named always. Of an attacked test the accuracy is that under the attack.
    """
    here = frame[frame["protocol"].isin(PROTOCOLS) & (frame["variant"] == "")]
    columns = ("protocol", "part", "method", "dataset", "source", "shots", "cfg", "seed")
    accuracies = marked(here, here["accuracy"].fillna(here["adv_accuracy"]))
    rows = zip(*(here[key] for key in columns), accuracies, here["settings"], here["backbone"], strict=True)
    found, told = [], []
    for protocol, part, *about, accuracy, settings, backbone in rows:
        kind = protocol if protocol == "few_shot" else part
        if kind in KINDS:  # a base-to-new run may be of all classes
            found.append(Result(kind, *about, accuracy))
            told.append((settings, backbone))
    return sorted(_named(found, told), key=lambda r: (r.dataset, *method_order(r.method), r.shots, r.seed))


def _named(found: list[Result], told: list[tuple[str, str]]) -> list[Result]:
    """The results with the names of their rows. told: (settings, backbone) of each."""
    cells: dict[tuple, set[tuple]] = defaultdict(set)
    backbones: dict[tuple, set[str]] = defaultdict(set)
    for r, (settings, backbone) in zip(found, told, strict=True):
        shots = r.shots if r.kind == "few_shot" else None
        cells[r.kind, r.method, r.dataset, r.source, shots, r.seed, settings].add((r.cfg, r.shots))
        backbones[r.protocol, r.method].update(filter(None, [backbone]))  # older results do not say
    several = {key[:2] for key, configs in cells.items() if len(configs) > 1}
    mixed = {(r.protocol, r.method) for r in found if (r.kind, r.method) in several}

    def named(r: Result, settings: str, backbone: str) -> Result:
        words = [settings]
        if len(backbones[r.protocol, r.method]) > 1:
            words.insert(0, backbone)
        if (r.protocol, r.method) in mixed:
            words[:0] = [r.cfg] if r.kind == "few_shot" else [r.cfg, counted(r.shots, "shot")]
        text = ", ".join(filter(None, words))
        return replace(r, method=f"{r.method} ({text})") if text else r

    return [named(r, *each) for r, each in zip(found, told, strict=True)]
