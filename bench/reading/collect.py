"""Reads all results.json files under a folder into one table, a row for each."""

from __future__ import annotations

import json
import logging
import math
import os
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import pandas as pd

from dassl.utils import InputError
from interop.plugins.names import plain

from .accounts import Account, account
from .apart import Entry, labels
from .doubles import part
from .files import DAMAGE, damaged, find, flag, number, open_record, percent, whole
from .layout import ACROSS, ROBUST, Place, names_of_configs, place_of, strange
from .order import method_order

logger = logging.getLogger(__name__)

# Column: its type. Values come from a run's results.json, or else from its folder's name; see docs/compare.md.
COLUMNS = {
    "folder": "object", "protocol": "object", "part": "object", "method": "object", "dataset": "object",
    "source": "object", "shots": "int64", "cfg": "object", "variant": "object", "settings": "object",
    "noise_type": "object", "noise_rate": "float64", "attack": "object", "mode": "object", "condition": "object",
    "backbone": "object",    "seed": "int64", "accuracy": "float64", "macro_f1": "float64", "top5_accuracy": "float64",
    "adv_accuracy": "float64", "transfer_accuracy": "float64", "worst_accuracy": "float64", "seconds": "float64",
    "peak_memory_bytes": "Int64", "device": "object", "git": "object", "finished": "object",
    "settings_hash": "object", "noise_hash": "object", "class_feature_distance": "float64", "collapsed": "boolean",
    "worst_class_accuracy": "float64", "ece": "float64", "classwise_ece": "float64", "brier": "float64",
    "nll": "float64", "aurc": "float64", "learnable_numbers": "Int64", "protocol_version": "Int64",
}  # fmt: skip
# Scores of outputs, see docs/outputs.md: {name: the largest value that there can be}. The least is 0.
ROUNDING = 1e-3  # an NLL of 0 may be a little below it
_PERCENT = 100 + ROUNDING
SCORES = {
    "worst_class_accuracy": _PERCENT, "ece": _PERCENT, "classwise_ece": _PERCENT, "brier": 2 + ROUNDING,
    "nll": math.inf, "aurc": _PERCENT,
}  # fmt: skip
KINDS = {"adv_accuracy": "", "transfer_accuracy": "transfer", "worst_accuracy": "worst case"}  # "": the run's own mode


def collect(
    folder: Path, broken: list[str] | None = None, remarks: list[str] | None = None, without: Collection[str] = ()
) -> pd.DataFrame:
    """A table with a row for each results.json, in a fixed order; accuracies in percent, `folder` relative.

    A file that is no run's is left out; sentences on these are appended to `broken`, or logged without such a list.
    remarks: the same for sentences on results of one cell (`doubles`) and on runs that differ in more than the seed
    (`labels`). without: folders, relative, whose results are left out. Runs that tested nothing (--no-train) are left
    out too. Raises InputError if there is no such folder.
    """
    return _table(list(_rows_of(folder, broken, without)), remarks)


def collect_all(
    folders: Sequence[Path], broken: list[str] | None = None, remarks: list[str] | None = None
) -> pd.DataFrame:
    """One table of several folders; the rest as `collect`. In `folder` each begins with the one that was given.

    A file below two of them counts once. Results of one cell are found across them, of which the folder that is named
    first keeps it, and so are runs that differ in more than the seed.
    """
    seen: set[str] = set()
    rows: list[dict] = []
    for turn, folder in enumerate(folders):
        for row in _rows_of(folder, broken):
            place = os.path.realpath(os.path.join(folder, row["folder"]))
            if place not in seen:
                seen.add(place)
                rows.append(row | {"turn": turn, "folder": os.path.join(folder, row["folder"])})
    return _table(rows, remarks)


def _rows_of(folder: Path, broken: list[str] | None, without: Collection[str] = ()) -> Iterator[dict]:
    if not os.path.isdir(folder):
        raise InputError(f"There is no folder {folder}; give the output folder of the runs.")
    output = os.path.abspath(folder)
    for below, file in find(folder):
        if below in without:
            continue
        try:
            row = read_row(below, file, output)
        except InputError as error:
            if broken is None:
                logger.warning("%s", error)
            else:
                broken.append(str(error))
            continue
        if row:
            yield row


def _table(rows: list[dict], remarks: list[str] | None) -> pd.DataFrame:
    sentences = [] if remarks is None else remarks
    rows = part(rows, sentences)
    for row, label in zip(rows, labels([_entry(row) for row in rows], sentences), strict=True):
        row["settings"] = label
    rows.sort(key=_order)
    for sentence in sentences if remarks is None else ():
        logger.warning("%s", sentence)
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)


def read_row(below: str, file: str, output: str = "") -> dict | None:
    """The row of one file; None for a run that tested nothing. output: the collected folder, see `layout.place_of`.

    Raises InputError for a file that is no run's.
    """
    try:
        record, config = open_record(file)
        where = place_of(record, below, output) or _elsewhere(below, record)
        numbers = _under_attack(record, where, file) if "figures" in record else _tested(record, where)
        if numbers is None:
            return None
        own = account(file, record, config)
        return {
            **_identity(where),
            **_met(own, where),
            "account": own,
            "told": strange(where, own.dataset, own.half),
            "folder": below,
            "method": str(record["trainer"]),
            "seed": record["seed"],
            **numbers,
            "seconds": number(record, "wall_seconds", least=0),
            "peak_memory_bytes": whole(record, "peak_memory_bytes", needed=False, least=0),
            **{key: str(record.get(key) or "") for key in ("device", "git", "finished", "settings_hash")},
            "noise_hash": str((record.get("noise") or {}).get("sha256") or ""),
            "class_feature_distance": number(record, "class_feature_distance", least=-ROUNDING),
            **{key: number(record.get("scores") or {}, key, least=-ROUNDING, most=SCORES[key]) for key in SCORES},
            "learnable_numbers": whole(record, "learnable_numbers", needed=False, least=0),
            "protocol_version": whole(record, "protocol_version", needed=False),
            "collapsed": flag(record, "collapsed"),
        }
    except DAMAGE as error:
        raise damaged(file, error) from error


def _identity(where: Place) -> dict:
    return {key: getattr(where, key) for key in Place.__dataclass_fields__}


def _met(own: Account, where: Place) -> dict:
    """Label noise and attack that the run recorded, which override those of its folder's name."""
    found: dict = {}
    given = own.noise and (own.noise[1] or where.noise_type)
    if given and not (where.noise_type == "real" and own.noise[1] != own.noise[1]):
        found |= {"noise_type": own.noise[0], "noise_rate": own.noise[1]}
    if own.attack and where.protocol not in ROBUST:
        found |= {"attack": own.attack, "mode": "transfer"}
    return found


def _entry(row: dict) -> Entry:
    """The entry of a row for `labels`. Base and new are one family, and so are a source and its targets."""
    across = row["protocol"] in ACROSS
    own = ["protocol", "method", "variant", "cfg", "shots", "source" if across else "dataset", "condition"]
    own += [] if row["protocol"] in ("base2new", "cross_dataset") else ["attack", "mode"]
    cell = [key for key in (*Place.__dataclass_fields__, "backbone") if key != "seed"]
    plain = row["protocol"] not in ("noise", "noise_xd", "real_noise")
    own += [] if plain else ["noise_type", "noise_rate"]
    values = [tuple(repr(row[key]) if row[key] != row[key] else row[key] for key in keys) for keys in (own, cell)]
    name = f"{row['method']}{' ' * bool(row['variant'])}{row['variant']} on {row['dataset']} ({row['protocol']})"
    return Entry(name, *values, row["account"], row["told"], plain, across)


def _tested(record: dict, where: Place) -> dict | None:
    results = record["results"]
    if results is None:
        return None
    backbone = record.get("backbone") or {}
    under = where.protocol in ("test_time", "online") and where.attack != "" or bool(record.get("adversarial"))
    return {
        # `accuracy` is always on clean pictures; a test-time run on attacked ones has none
        "accuracy": math.nan if under else percent(results, "accuracy"),
        "macro_f1": math.nan if under else percent(results, "macro_f1", needed=False),
        "top5_accuracy": math.nan if under else percent(results, "top5_accuracy", needed=False),
        "adv_accuracy": percent(results, "accuracy") if under else math.nan,
        "backbone": str(backbone.get("name") or Path(backbone.get("path") or "").name),
    }


def _under_attack(record: dict, where: Place, file: str) -> dict:
    """The numbers of an evaluation by `robustness`, whose backbone is in the first line of config.yaml beside it."""
    figures = record["figures"]
    found = {"accuracy": percent(figures["clean"], "accuracy"), "mode": str(record["mode"])}
    found["attack"] = where.attack or str(record["attack"])  # the folder's name has the number of images, if not all
    for column, kind in KINDS.items():
        found[column] = percent(figures.get(kind or record["mode"]) or {}, "accuracy", needed=False)
    return found | {"backbone": _backbone_of_config(Path(file).with_name("config.yaml"))}


def _backbone_of_config(file: Path) -> str:
    try:
        with file.open(encoding="utf-8") as stream:
            settings = json.loads(stream.readline().removeprefix("# settings: "))
        return settings.get("MODEL.BACKBONE.NAME") or Path(settings.get("MODEL.BACKBONE.PATH") or "").name
    except (OSError, ValueError, RecursionError, TypeError, AttributeError):
        return ""


def _elsewhere(below: str, record: dict) -> Place:
    """The place of a run of no known protocol; its folder is the variant, so that it is not averaged with others."""
    name = str(record["dataset"])
    above = re.sub(r"/?seed\d+$", "", below)
    return Place(
        protocol="other",
        part=str(record.get("subsample_classes") or "all"),
        method=str(record["trainer"]),
        dataset=config_names().get(plain(name), plain(name)) + name[len(plain(name)) :],
        source="",
        shots=whole(record, "shots", needed=False) or 0,
        cfg="",
        seed=record["seed"],
        variant=above,
    )


def config_names() -> dict[str, str]:
    """{name of a dataset in results.json: name of its config}."""
    return {name: config for config, name in names_of_configs().items()}


def _order(row: dict) -> tuple:
    first = (row["protocol"], row["part"], row["dataset"], row["source"], row["variant"], method_order(row["method"]))
    rate = -1.0 if math.isnan(row["noise_rate"]) else row["noise_rate"]
    about = (
        row["settings"],
        row["cfg"],
        row["shots"],
        row["noise_type"],
        rate,
        row["attack"],
        row["mode"],
        row["condition"],
    )
    return *first, *about, row["seed"]
