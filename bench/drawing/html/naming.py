"""Names of runs in the page: protocol, setting, and the method with the settings in which its runs differ."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pandas import DataFrame

from bench.reading.layout import ACROSS, HALVES, ROBUST, dataset_name
from bench.reading.order import method_order
from dassl.utils.counted import counted
from datasets.noise.names import spoken

PROTOCOLS = {
    "base2new": "Base to new",
    "cross_dataset": "Cross-dataset",
    "few_shot": "Few-shot",
    "noise": "Label noise",
    "noise_xd": "Label noise, cross-dataset",
    "real_noise": "Label noise of the real world",
    "test_time": "Test time",
    "online": "Test time, online",
    "robust": "Under attack",
    "robust_base2new": "Under attack, base to new",
    "robust_cross_dataset": "Under attack, cross-dataset",
    "corruption": "Corrupted images",
    "text_noise": "Noisy text",
    "other": "Other runs",
}
KNOWN = [*PROTOCOLS][:-1]


def title(protocol: str) -> str:
    """The title of a protocol; one that is not in `PROTOCOLS` has its own name."""
    return PROTOCOLS.get(protocol, protocol.replace("_", " ").capitalize())


def ordered(protocols: Iterable[str]) -> list[str]:
    """The protocols without repetition in the order of `PROTOCOLS`; unknown ones come before "other", by name."""
    there = set(protocols)
    added = sorted(there - {*PROTOCOLS})
    return [name for name in (*KNOWN, *added, "other") if name in there]


PARTS = ("source", "base", "new", "target", "all")
ATTACK = re.compile(r"(?P<name>.+)-eps(?P<eps>\d+(?:\.\d+)?)-(?P<steps>\d+)(?P<rest>.*)")

# Runs that agree in these columns are in one cell of a table; few-shot tables also have a column for each shot count.
CELL = ["variant", "settings", "part", "dataset", "source", "noise_type", "noise_rate", "attack", "mode", "condition"]


def named(frame: DataFrame) -> DataFrame:
    """The frame in the order of the tables, with a new index and two more columns: `label`, the method's name in
    tables, and `setting`, in words.

    A variant and differing settings are always part of the label; config and shots if a method has several in one cell;
    the backbone if the methods of a protocol have several.
    """
    frame = frame.copy()
    protocols = ordered(frame["protocol"])
    frame["label"] = frame["method"]
    for (protocol, _), rows in frame.groupby(["protocol", "method"], sort=False):
        cell, telling = (CELL + ["shots"], ["cfg"]) if protocol == "few_shot" else (CELL, ["cfg", "shots"])
        several = rows.groupby(cell, dropna=False, sort=False)[telling].nunique().max()
        telling = [column for column in telling if several[column] > 1]
        if frame.loc[frame["protocol"] == protocol, "backbone"].nunique() > 1:
            telling.append("backbone")
        frame.loc[rows.index, "label"] = [_label(row, telling) for row in rows.to_dict("records")]
    records = frame.to_dict("records")
    frame["setting"] = [setting(row) for row in records]
    order = sorted(range(len(records)), key=lambda i: _place(records[i], protocols))
    return frame.iloc[order].reset_index(drop=True)


def _label(row: dict, telling: list[str]) -> str:
    words = [row["variant"], row["settings"], *(shots_text(row[c]) if c == "shots" else row[c] for c in telling)]
    words = [word for word in words if word]
    return f"{row['method']} ({', '.join(words)})" if words else row["method"]


def setting(row: dict) -> str:
    """The setting of a run in words, without dataset, method and seed."""
    protocol, found = row["protocol"], []
    if protocol in HALVES:
        found.append(f"{row['part']} classes")
    if protocol == "few_shot":
        found.append(shots_text(row["shots"]))
    if protocol in ACROSS:
        found.append("source" if row["part"] == "source" else f"trained on {dataset_name(row['source'])}")
    if protocol in ("noise", "noise_xd"):
        found.append(f"{spoken(row['noise_type'])} {rate_text(row['noise_rate'])}")
    if protocol in ("test_time", "online", *ROBUST):
        found += [row["attack"] or "clean", *([row["mode"]] if row["mode"] else [])]
    if row["condition"]:
        found.append(condition_text(row["condition"]))
    if protocol not in KNOWN and row["part"] != "all":
        found.append(f"{row['part']} classes")
    return ", ".join(found)


def condition_text(condition: str) -> str:
    """A condition in words: "gaussian noise 3" from gaussian_noise-3."""
    name, _, strength = condition.rpartition("-")
    return f"{name.replace('_', ' ')} {strength}"


def condition_order(condition: str) -> tuple:
    """The key by which conditions are sorted: by name, then from weak to strong."""
    name, _, strength = condition.rpartition("-")
    return (name, float(strength)) if re.fullmatch(r"\d+(\.\d+)?", strength) else (condition, 0.0)


def rate_text(rate: float) -> str:
    """A share as text in percent."""
    return f"{100 * rate:g} %"


def shots_text(shots: int) -> str:
    """A number of training images a class as text; -1 means all images."""
    return {-1: "all images", 0: "no training"}.get(shots, counted(shots, "shot"))


def attacker(mode: str) -> str:
    """The group of a mode in comparisons: white-box and adaptive attackers, which both know the method, are one group,
    since a method has only one of them."""
    return "white-box or adaptive" if mode in ("white-box", "adaptive") else mode


def attack_order(attack: str) -> tuple:
    """The key by which attacks are sorted: clean first, then by name, then from weak to strong."""
    found = ATTACK.fullmatch(attack)
    return (found["name"], found["rest"], float(found["eps"]), int(found["steps"])) if found else (attack, "", 0.0, 0)


def _part_order(part: str) -> int:
    return PARTS.index(part) if part in PARTS else len(PARTS)


def _place(row: dict, protocols: list[str]) -> tuple:
    rate = row["noise_rate"]
    return (
        protocols.index(row["protocol"]),
        row["source"] if row["part"] in ("source", "target") else "", _part_order(row["part"]), row["dataset"],
        row["noise_type"], rate if rate == rate else -1.0, attack_order(row["attack"]), row["mode"],
        condition_order(row["condition"]),
        method_order(row["method"]), row["label"], row["shots"], row["seed"], row["folder"],
    )  # fmt: skip
