"""The mean corruption error against zero-shot CLIP (Hendrycks and Dietterich, ICLR 2019, section 4.2)."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pandas import DataFrame

from runs.corruption_protocol import FIFTEEN, SEVERITIES

REFERENCE = "ZeroshotCLIP"
Errors = Mapping[tuple[str, int], float]  # {(corruption, severity): error in %}


class CorruptionError(NamedTuple):
    """Figures in %: mean accuracy over corruptions and severities; mCE and relative mCE, 100 for the reference; NaN
    where the reference is missing. missing: conditions without a result, such as fog-3."""

    accuracy: float
    mce: float
    relative_mce: float
    missing: tuple[str, ...]


def corruption_error(
    own: Errors, reference: Errors, clean: float = math.nan, clean_reference: float = math.nan,
    names: Sequence[str] = FIFTEEN,
) -> CorruptionError:  # fmt: skip
    """mCE: mean over corruptions c of CE_c = sum_s E_sc / sum_s E^ref_sc; relative: of E - E_clean in their place.

    The errors are those of all severities of each of `names`; without one of them the figures are NaN and it is named.
    A reference that loses nothing under a corruption makes its relative error undefined, and so the mean.
    """
    wanted = [(name, int(level)) for name in names for level in SEVERITIES]
    missing = tuple(f"{name}-{level}" for name, level in wanted if (name, level) not in own)
    if missing:
        return CorruptionError(math.nan, math.nan, math.nan, missing)
    accuracy = 100 - statistics.fmean(own[key] for key in wanted)
    if any(key not in reference for key in wanted):
        return CorruptionError(accuracy, math.nan, math.nan, ())
    plain, relative = [], []
    for name in names:
        ours, theirs = ([of[name, int(level)] for level in SEVERITIES] for of in (own, reference))
        plain.append(_ratio(sum(ours), sum(theirs)))
        lost = [sum(e - start for e in each) for each, start in ((ours, clean), (theirs, clean_reference))]
        relative.append(_ratio(lost[0], lost[1]))
    return CorruptionError(accuracy, statistics.fmean(plain), statistics.fmean(relative), ())


def _ratio(own: float, reference: float) -> float:
    return 100 * own / reference if reference > 0 else math.nan


def errors_of(rows: DataFrame) -> dict[tuple[str, int], float]:
    """The errors in the rows of `collect` of one method, dataset and seed."""
    found = {}
    for condition, accuracy in zip(rows["condition"], rows["accuracy"], strict=True):
        name, _, level = condition.rpartition("-")
        found[name, int(level)] = 100 - accuracy
    return found


def by_seed(frame: DataFrame) -> DataFrame:
    """A row for each method, variant, settings, backbone, shots, dataset and seed with tests on corrupted images:
    accuracy, mce, relative_mce, clean (of the few-shot run), missing.

    The reference is zero-shot CLIP on the same dataset and backbone; its tests do not depend on the seed.
    """
    here = frame[frame["protocol"] == "corruption"]
    clean = frame[frame["protocol"] == "few_shot"]
    keys = ["method", "variant", "settings", "cfg", "backbone", "shots", "dataset", "seed"]
    rows = []
    for key, own in here.groupby(keys, sort=False, dropna=False):
        about = dict(zip(keys, key, strict=True))
        place = {"dataset": about["dataset"], "backbone": about["backbone"]}
        theirs = _where(here, method=REFERENCE, variant="", **place)
        theirs = theirs[theirs["seed"] == theirs["seed"].min()]
        start = _first(_where(clean, **about))
        found = corruption_error(
            errors_of(own), errors_of(theirs), 100 - start,
            100 - _first(_where(clean, method=REFERENCE, variant="", **place)),
        )  # fmt: skip
        rows.append(about | found._asdict() | {"clean": start})
    return DataFrame(rows, columns=[*keys, *CorruptionError._fields, "clean"])


def _where(frame: DataFrame, **values: object) -> DataFrame:
    for key, value in values.items():
        frame = frame[frame[key] == value]
    return frame


def _first(rows: DataFrame) -> float:
    return float(rows["accuracy"].iloc[0]) if len(rows) else math.nan
