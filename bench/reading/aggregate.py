"""Means over seeds and averages over datasets."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import pandas as pd

from dassl.utils.spread import deviation, half_width
from runs.config_names import config_name

from .layout import HALVES

# Columns that identify a number; a row of `aggregate` has one value of each.
KEYS = [
    "protocol", "part", "method", "dataset", "source", "shots", "cfg", "variant", "settings", "noise_type",
    "noise_rate", "attack", "mode", "condition", "backbone",
]  # fmt: skip
STATISTICS = ["mean", "std", "ci95", "n", "collapsed"]
AVERAGE = "average"
TASKS = {
    "base2new": "B2N",
    "cross_dataset": "CD",
    "noise_xd": "CD",
    "robust_base2new": "B2N",
    "robust_cross_dataset": "CD",
    "test_time": "B2N",
    "online": "B2N",
}  # any other: FS


def aggregate(frame: pd.DataFrame, value: str = "accuracy") -> pd.DataFrame:
    """Statistics over seeds of a column of `collect`: `KEYS`, then mean, std, ci95, n and collapsed.

    std and ci95: `deviation` and `half_width` of `dassl.utils.spread`, NaN for one seed. collapsed: how many of the n
    seeds had runs whose class features collapsed; they are part of the mean. Base-to-new also has rows of
    part "hm", over the n seeds that have base and new: the harmonic mean of the two means, and the deviation of the
    seeds' harmonic means.
    """
    here = _flagged(frame.dropna(subset=[value]))
    return _with_hm(_over_seeds(here, KEYS, value), here, KEYS, value)


def average(frame: pd.DataFrame, datasets: Sequence[str], value: str = "accuracy") -> pd.DataFrame:
    """Averages over `datasets` (config names), as rows like `aggregate`'s with dataset "average" and cfg "".

    Only methods and settings with results on all datasets have a row. mean: over the n seeds that have every dataset
    (if no seed has, the mean of the datasets' means, and n is 0); HM: the harmonic mean of the averaged base and new.
    std and ci95: of the averages of single seeds. Each dataset's results are those of `one_config`.
    """
    names = list(dict.fromkeys(datasets))
    present = _flagged(frame.dropna(subset=[value]))
    here = one_config(present[present["dataset"].isin(names)])
    keys = [key for key in KEYS if key not in ("cfg", "dataset")]
    # if a model is tested on its own training set, the source changes with the dataset
    here = here.assign(source=here["source"].where(here["source"] != here["dataset"], ""))
    by_dataset = _over_seeds(here, [*keys, "dataset"], value)
    means = by_dataset.groupby(keys, dropna=False, sort=False)["mean"].agg(["mean", "size"])
    complete = means[means["size"] == len(names)]["mean"].rename("of_means").reset_index()
    seeds = here.groupby([*keys, "seed"], dropna=False, sort=False)
    by_seed = seeds.agg(**{value: (value, "mean"), "size": (value, "size"), "collapsed": ("collapsed", "any")})
    by_seed = by_seed[by_seed["size"] == len(names)].reset_index()
    found = complete.merge(_over_seeds(by_seed, keys, value), how="left", on=keys)
    found["mean"] = found["mean"].fillna(found.pop("of_means"))
    found = found.fillna({"n": 0, "collapsed": 0}).astype({"n": "int64", "collapsed": "int64"})
    found = _with_hm(found, by_seed, keys, value)
    return found.assign(dataset=AVERAGE, cfg="")[[*KEYS, *STATISTICS]]


def one_config(frame: pd.DataFrame) -> pd.DataFrame:
    """Keep one config of rows that differ only in its name: the published one, else the first by name."""
    if frame.empty:
        return frame
    usual = [
        cfg != config_name(method, source or dataset, TASKS.get(protocol, "FS"), shots)
        for cfg, method, source, dataset, protocol, shots in zip(
            *(frame[c] for c in ("cfg", "method", "source", "dataset", "protocol", "shots")), strict=True
        )
    ]
    ordered = frame.assign(unusual=usual).sort_values(["unusual", "cfg"], kind="stable")
    same = [key for key in KEYS if key != "cfg"]
    first = ordered.groupby(same, dropna=False, sort=False)["cfg"].transform("first")
    return ordered[ordered["cfg"] == first].sort_index().drop(columns="unusual")


def harmonic(base: pd.Series, new: pd.Series) -> pd.Series:
    """The harmonic mean 2BN / (B + N); 0 if both are 0."""
    total = base + new
    return (2 * base * new / total.where(total != 0)).where(total != 0, 0.0)


def _over_seeds(frame: pd.DataFrame, keys: list[str], value: str) -> pd.DataFrame:
    seeds = frame.groupby(keys, dropna=False, sort=False)
    found = seeds.agg(values=(value, list), fell=("collapsed", "sum")).reset_index()
    values, fell = found.pop("values"), found.pop("fell")
    for name, of in (("mean", statistics.fmean), ("std", deviation), ("ci95", half_width), ("n", len)):
        found[name] = [of(each) for each in values]
    return found.assign(collapsed=fell.astype("int64"))


def _flagged(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with `collapsed` as True or False: False where a result does not say."""
    told = frame["collapsed"].astype("boolean").fillna(False) if "collapsed" in frame else False
    return frame.assign(collapsed=told).astype({"collapsed": bool})


def _with_hm(means: pd.DataFrame, frame: pd.DataFrame, keys: list[str], value: str) -> pd.DataFrame:
    """Add rows of part "hm", computed from the parts "base" and "new" of base-to-new."""
    rest = [key for key in keys if key != "part"]
    here = frame[frame["protocol"].isin(HALVES)]
    halves = (here[here["part"] == part][[*rest, "seed", value, "collapsed"]] for part in ("base", "new"))
    seeds = pd.merge(*halves, on=[*rest, "seed"], suffixes=("_base", "_new"))
    if seeds.empty:
        return means
    base, new = f"{value}_base", f"{value}_new"
    seeds["hm"] = harmonic(seeds[base], seeds[new])
    seeds["collapsed"] = seeds["collapsed_base"] | seeds["collapsed_new"]
    of_means = seeds.groupby(rest, dropna=False, sort=False)[[base, new]].mean().reset_index()
    of_means["mean"] = harmonic(of_means.pop(base), of_means.pop(new))
    found = of_means.merge(_over_seeds(seeds, rest, "hm").drop(columns="mean"), on=rest).assign(part="hm")
    return pd.concat([means, found[means.columns]], ignore_index=True)
