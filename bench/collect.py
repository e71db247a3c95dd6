"""All results.json files under a folder as one table, a row each."""

from __future__ import annotations

import functools
import json
import logging
import math
import re
from pathlib import Path

import pandas as pd

from dassl.utils import InputError
from runs.targets import ROOT

from .files import find, read_record
from .layout import Place, place
from .results import method_order

logger = logging.getLogger(__name__)

# Column -> its type. What a run's folder and its results.json say; see docs/compare.md.
COLUMNS = {
    "folder": "object", "protocol": "object", "part": "object", "method": "object", "dataset": "object",
    "source": "object", "shots": "int64", "cfg": "object", "variant": "object", "noise_type": "object",
    "noise_rate": "float64", "attack": "object", "mode": "object", "backbone": "object", "seed": "int64",
    "accuracy": "float64", "macro_f1": "float64", "top5_accuracy": "float64", "adv_accuracy": "float64",
    "transfer_accuracy": "float64", "worst_accuracy": "float64", "seconds": "float64", "peak_memory_bytes": "Int64",
    "device": "object", "git": "object", "finished": "object", "settings_hash": "object", "noise_hash": "object",
}  # fmt: skip
KINDS = {"adv_accuracy": "", "transfer_accuracy": "transfer", "worst_accuracy": "worst case"}  # "": the run's own mode


def collect(folder: Path, broken: list[str] | None = None) -> pd.DataFrame:
    """A row a results.json, in a fixed order; accuracies in percent, `folder` seen from the collected one.

    A file that is no run's is left out: its sentence is appended to `broken`, or logged where there is no such list.
    Runs that tested nothing (--no-train) are left out too. Raises InputError where there is no such folder.
    """
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}; give the output folder of the runs.")
    rows = []
    for below, file in find(folder):
        try:
            row = read_row(below, file)
        except InputError as error:
            if broken is None:
                logger.warning("%s", error)
            else:
                broken.append(str(error))
            continue
        if row:
            rows.append(row)
    rows.sort(key=_order)
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)


def read_row(below: str, file: str) -> dict | None:
    """The row of one file; None for a run that tested nothing. Raises InputError, naming a file that is no run's."""
    try:
        record = read_record(file)
        where = place(below) or _elsewhere(below, record)
        numbers = _under_attack(record, where, file) if "figures" in record else _tested(record, where)
        if numbers is None:
            return None
        return {
            **_identity(where),
            "folder": below,
            "method": str(record["trainer"]),
            "seed": int(record["seed"]),
            **numbers,
            "seconds": _number(record, "wall_seconds"),
            "peak_memory_bytes": record.get("peak_memory_bytes"),
            "device": record.get("device") or "",
            "git": record.get("git") or "",
            "finished": record.get("finished") or "",
            "settings_hash": record.get("settings_hash") or "",
            "noise_hash": (record.get("noise") or {}).get("sha256") or "",
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{file} is not a run's results.json ({type(error).__name__}: {error}); remove it, or repeat the run."
        ) from error


def _identity(where: Place) -> dict:
    return {key: getattr(where, key) for key in Place.__dataclass_fields__}


def _tested(record: dict, where: Place) -> dict | None:
    results = record["results"]
    if results is None:
        return None
    backbone = record.get("backbone") or {}
    under = where.protocol == "test_time" and where.attack != ""
    return {
        # `accuracy` is always on clean pictures; a test-time run on attacked ones has seen no others
        "accuracy": math.nan if under else _number(results, "accuracy", needed=True),
        "macro_f1": math.nan if under else _number(results, "macro_f1"),
        "top5_accuracy": math.nan if under else _number(results, "top5_accuracy"),
        "adv_accuracy": _number(results, "accuracy", needed=True) if under else math.nan,
        "backbone": backbone.get("name") or Path(backbone.get("path") or "").name,
    }


def _under_attack(record: dict, where: Place, file: str) -> dict:
    """Of an evaluation by `robustness`. Its backbone stands in the first line of config.yaml beside it."""
    figures = record["figures"]
    found = {"accuracy": _number(figures["clean"], "accuracy", needed=True), "mode": str(record["mode"])}
    found["attack"] = where.attack or str(record["attack"])  # the folder's has the number of images, if not all
    for column, kind in KINDS.items():
        found[column] = _number(figures.get(kind or record["mode"]) or {}, "accuracy")
    return found | {"backbone": _backbone_of_config(Path(file).with_name("config.yaml"))}


def _backbone_of_config(file: Path) -> str:
    try:
        with file.open(encoding="utf-8") as stream:
            settings = json.loads(stream.readline().removeprefix("# settings: "))
        return settings.get("MODEL.BACKBONE.NAME") or Path(settings.get("MODEL.BACKBONE.PATH") or "").name
    except (OSError, ValueError):
        return ""


def _number(values: dict, key: str, needed: bool = False) -> float:
    value = values[key] if needed else values.get(key)
    if value is None and not needed:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{key} is {value!r}")
    return float(value)


def _elsewhere(below: str, record: dict) -> Place:
    """Of a run whose --output-dir follows no protocol: what its record says. Its folder tells it from others."""
    name = str(record["dataset"])
    above = re.sub(r"/?seed\d+$", "", below)
    part = record.get("subsample_classes") or "all"
    return Place(
        protocol="other",
        part=part,
        method=str(record["trainer"]),
        dataset=config_names().get(name, name),
        source="",
        shots=int(record.get("shots") or 0),
        cfg="",
        seed=int(record["seed"]),
        variant=above,
    )


@functools.cache
def config_names() -> dict[str, str]:
    """{a dataset's name in results.json: its config's}."""
    found = {}
    for file in sorted((ROOT / "configs" / "datasets").glob("*.yaml")):
        if match := re.search(r'^\s*NAME:\s*"?(\w+)', file.read_text(encoding="utf-8"), re.MULTILINE):
            found[match[1]] = file.stem
    return found


def _order(row: dict) -> tuple:
    first = (row["protocol"], row["part"], row["dataset"], row["source"], row["variant"], method_order(row["method"]))
    rate = -1.0 if math.isnan(row["noise_rate"]) else row["noise_rate"]
    return *first, row["cfg"], row["shots"], row["noise_type"], rate, row["attack"], row["mode"], row["seed"]
