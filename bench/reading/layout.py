"""Where a results.json lies says what it is about: the folders of runs/*_protocol*.py, read backwards.

A layout may start at any depth: what stands above it names the variant ("variants" itself left out).
"""

from __future__ import annotations

import functools
import math
import re
from dataclasses import dataclass

from runs.noise_protocols import REAL_NOISE
from runs.robust_protocol import MODES
from runs.targets import ROOT

ALL_IMAGES = -1  # shots of a run on every image

_RUN = r"(?P<method>[^/]+)/(?P<cfg>[^/]+)/seed(?P<seed>\d+)"
_RUN_WITH_SHOTS = r"(?P<method>[^/]+)/(?P<cfg>[^/]+)_(?P<shots>-?\d+)shots"
_SET, _SHOTS = r"(?P<dataset>[^/]+)", r"shots_(?P<shots>\d+|all)"
_NOISE = r"(?P<noise_type>[^/]+)_r(?P<noise_rate>\d{4})"
_ROBUST = rf"(?P<mode>{'|'.join(MODES.values())})-(?P<attack>[^/]+)"
LAYOUTS = {
    "base2new": rf"base2new/(?P<part>train_base|test_new)/{_SET}/{_SHOTS}/{_RUN}",
    "noise": rf"noise/{_SET}/{_NOISE}/{_SHOTS}/{_RUN}",
    "noise_xd": rf"noise_xd/(?P<source>[^/]+)/{_NOISE}/{_SET}/{_RUN_WITH_SHOTS}/seed(?P<seed>\d+)",
    "robust": rf"robust/{_SET}/{_ROBUST}/{_SHOTS}/{_RUN}",
    "few_shot": rf"few_shot/{_SET}/{_SHOTS}/{_RUN}",
    "real_noise": rf"real_noise/{_SET}/{_SHOTS}/{_RUN}",
    "test_time": rf"test_time/{_SET}/(?P<attack>[^/]+)/{_RUN}",
    "target": rf"evaluation(_(?P<source>[^/]+))?/{_RUN_WITH_SHOTS}/{_SET}/seed(?P<seed>\d+)",
    "source": rf"{_SET}/{_RUN_WITH_SHOTS}/seed(?P<seed>\d+)",
}
_PATTERNS = {name: re.compile(rf"(?:(?P<above>.+)/)?{layout}") for name, layout in LAYOUTS.items()}


@dataclass(frozen=True)
class Place:
    """What the path of a run's folder says. `part`: base, new, source, target or all; `source`: what was trained on,
    "" where nothing was; noise_rate: NaN without noise."""

    protocol: str
    part: str
    method: str
    dataset: str
    source: str
    shots: int
    cfg: str
    seed: int
    variant: str
    noise_type: str = ""
    noise_rate: float = math.nan
    attack: str = ""
    mode: str = ""


def strange(where: Place, dataset: str, half: str) -> tuple[str, ...]:
    """What a record says (its dataset's name, half of the classes) that is not as its folder has it."""
    expected = where.part if where.protocol == "base2new" else "all"
    named = names_of_configs()
    other = dataset in named.values() and named.get(where.dataset, dataset) != dataset
    found = [f"dataset {dataset}"] if other and where.protocol != "other" else []
    if where.protocol != "other" and half != expected and half in ("base", "new"):
        found.append(f"{half} classes")
    return tuple(found)


@functools.cache
def names_of_configs() -> dict[str, str]:
    """{a dataset's config: its name in results.json}."""
    found = {}
    for file in sorted((ROOT / "configs" / "datasets").glob("*.yaml")):
        if match := re.search(r'^\s*NAME:\s*"?(\w+)', file.read_text(encoding="utf-8"), re.MULTILINE):
            found[file.stem] = match[1]
    return found


def place(path: str, output: str = "") -> Place | None:
    """From a run's folder seen from an output folder, parts with "/" between; None where it fits no layout.

    output: absolute path of the output folder. A layout may begin above it: `output/base2new` and the folders below are
    read as well as `output`.
    """
    top = output.strip("/")
    whole = "/".join(filter(None, (top, path)))
    for name, pattern in _PATTERNS.items():
        if match := pattern.fullmatch(whole):
            found = match.groupdict()
            above = found["above"] or ""
            inside = not top or above == top or above.startswith(f"{top}/")
            return _place(name, found | {"above": above[len(top) :] if inside else ""})
    return None


def _place(layout: str, found: dict[str, str | None]) -> Place:
    dataset, shots = found["dataset"], found.get("shots") or "0"
    crossing = layout in ("source", "target")
    rate = int(found["noise_rate"]) / 1000 if found.get("noise_rate") else math.nan
    attack = found.get("attack") or ""
    return Place(
        protocol="cross_dataset" if crossing else layout,
        part=_part(layout, found),
        method=found["method"],
        dataset=dataset,
        source=_source(layout, found),
        shots=ALL_IMAGES if shots == "all" else int(shots),
        cfg=found["cfg"],
        seed=int(found["seed"]),
        variant="/".join(part for part in (found["above"] or "").split("/") if part not in ("", "variants")),
        noise_type="real" if layout == "real_noise" else found.get("noise_type") or "",
        noise_rate=rate,
        attack="" if attack == "clean" else attack,
        mode=found.get("mode") or ("transfer" if layout == "test_time" and attack != "clean" else ""),
    )


def _part(layout: str, found: dict[str, str | None]) -> str:
    if layout == "base2new":
        return {"train_base": "base", "test_new": "new"}[found["part"]]
    if layout == "noise_xd":
        return "source" if found["source"] == found["dataset"] else "target"
    return layout if layout in ("source", "target") else "all"


def _source(layout: str, found: dict[str, str | None]) -> str:
    dataset = found["dataset"]
    if layout == "target":
        return found["source"] or "imagenet"
    if layout == "real_noise":  # tested on another set, it lies in <dataset>_<test set>
        return next((name for name in REAL_NOISE if dataset == name or dataset.startswith(f"{name}_")), dataset)
    if layout == "test_time" or (layout == "robust" and found["shots"] == "0"):
        return ""
    return found.get("source") or dataset
