"""Marks numbers of runs whose class features collapsed, and says below a table how many seeds did.

Such a run is a finding, so its accuracy stays in the mean. Results from before this was recorded have no mark.
"""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from dassl.utils.counted import counted
from dassl.utils.spread import Marked

MARK = "‡"
NAME = ("method", "variant", "settings")
PLACE = ("dataset", "source", "part", "shots", "noise_type", "noise_rate", "attack", "mode", "condition")
KEYS = ["protocol", *NAME, *PLACE, "cfg", "backbone"]  # of a number in a table, which is over seeds


def collapsed(frame: pd.DataFrame) -> pd.Series:
    """Whether each row of `collect` is of a run that collapsed; False where it does not say."""
    if "collapsed" not in frame:
        return pd.Series(False, index=frame.index)
    return frame["collapsed"].astype("boolean").fillna(False).astype(bool)


def marked(frame: pd.DataFrame, values: Iterable[float] | None = None) -> list[float]:
    """The values of the rows (default: their accuracy), with a mark where the run collapsed."""
    numbers = frame["accuracy"] if values is None else values
    return [Marked(x, MARK) if fell else x for x, fell in zip(numbers, collapsed(frame), strict=True)]


def caption(frame: pd.DataFrame) -> str:
    """The line below a table of these rows: how many seeds of which number collapsed; "" if none did."""
    fell = frame.assign(collapsed=collapsed(frame))
    told = []
    for key, own in fell.groupby([key for key in KEYS if key in fell], dropna=False, sort=False):
        if count := int(own["collapsed"].sum()):
            about = dict(zip([key for key in KEYS if key in fell], key, strict=True))
            told.append(f"{_name(about)}: {count} of {counted(len(own), 'seed')} collapsed")
    if not told:
        return ""
    return (
        f"{MARK}: with runs that collapsed (all class features nearly coincide: below 1 % of zero-shot CLIP's mean "
        f"cosine distance). {'; '.join(told)}."
    )


def _name(about: dict) -> str:
    method, variant, settings = (about.get(key) or "" for key in NAME)
    name = " ".join(filter(None, [method, variant])) + (f" ({settings})" if settings else "")
    rate = about.get("noise_rate", float("nan"))
    source = about.get("source") or ""
    place = [about["dataset"], f"from {source}" if source not in ("", about["dataset"]) else ""]
    place += [about["part"] if about.get("part") not in ("", "all", "source", "target", None) else ""]
    place += [about.get("noise_type") or "", "" if rate != rate else f"{100 * rate:g} %"]
    place += [about.get("attack") or "", about.get("condition") or ""]
    return f"{name} on {' '.join(filter(None, place))}"
