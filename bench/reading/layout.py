"""Finds the cell of a table that a result belongs to, from its results.json (`recorded`) or else its folder (`place`).

Older runs, and those of a plain `python train.py`, did not record it. Their folders are matched with the layouts of
runs/*_protocol*.py. A layout may start at any depth: the folders above it are the name of the variant, without a folder
"variants".
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from interop.plugins.names import plain
from runs.about import VARIANTS
from runs.noise_protocols import REAL_NOISE
from runs.robust_protocol import MODES
from runs.targets import ROOT

from .files import check_seed, number, whole

ALL_IMAGES = -1  # shots of a run on every image
HALVES = ("base2new", "robust_base2new")  # protocols that test base and new classes apart
ACROSS = ("cross_dataset", "noise_xd", "robust_cross_dataset")  # trained on one dataset, tested on others
ROBUST = ("robust", "robust_base2new", "robust_cross_dataset")  # evaluations under attack
OWN_IMAGES = "Folder"  # as this dataset is registered; the config of each set of one's own names the set

_RUN = r"(?P<method>[^/]+)/(?P<cfg>[^/]+)/seed(?P<seed>\d+)"
_RUN_WITH_SHOTS = r"(?P<method>[^/]+)/(?P<cfg>[^/]+)_(?P<shots>-?\d+)shots"
_SET, _SHOTS = r"(?P<dataset>[^/]+)", r"shots_(?P<shots>\d+|all)"
_NOISE = r"(?P<noise_type>[^/]+)_r(?P<noise_rate>\d{4})"
_ROBUST = rf"(?P<mode>{'|'.join(MODES.values())})-(?P<attack>[^/]+)"
LAYOUTS = {
    "base2new": rf"base2new/(?P<part>train_base|test_new)/{_SET}/{_SHOTS}/{_RUN}",
    "noise": rf"noise/{_SET}/{_NOISE}/{_SHOTS}/{_RUN}",
    "noise_xd": rf"noise_xd/(?P<source>[^/]+)/{_NOISE}/{_SET}/{_RUN_WITH_SHOTS}/seed(?P<seed>\d+)",
    "robust_base2new": rf"robust_base2new/(?P<part>base|new)/{_SET}/{_ROBUST}/{_SHOTS}/{_RUN}",
    "robust_cross_dataset": rf"robust_cross_dataset/(?P<source>[^/]+)/{_SET}/{_ROBUST}/{_SHOTS}/{_RUN}",
    "robust": rf"robust/{_SET}/{_ROBUST}/{_SHOTS}/{_RUN}",
    "corruption": rf"corruption/{_SET}/(?P<condition>[^/]+)/{_SHOTS}/{_RUN}",
    "text_noise": rf"text_noise/{_SET}/(?P<condition>[^/]+)/{_SHOTS}/{_RUN}",
    "open_world": rf"open_world/{_SET}/{_SHOTS}/{_RUN}",
    "few_shot": rf"few_shot/{_SET}/{_SHOTS}/{_RUN}",
    "real_noise": rf"real_noise/{_SET}/{_SHOTS}/{_RUN}",
    "test_time": rf"test_time/{_SET}/(?P<attack>[^/]+)/{_RUN}",
    "online": rf"online/{_SET}/(?P<attack>[^/]+)/{_RUN}",
    "target": rf"evaluation(_(?P<source>[^/]+))?/{_RUN_WITH_SHOTS}/{_SET}/seed(?P<seed>\d+)",
    "source": rf"{_SET}/{_RUN_WITH_SHOTS}/seed(?P<seed>\d+)",
}
_PATTERNS = {name: re.compile(rf"(?:(?P<above>.+)/)?{layout}") for name, layout in LAYOUTS.items()}


@dataclass(frozen=True)
class Place:
    """The cell of a table that a run belongs to. part: base, new, source, target or all; source: the dataset of the
    training, "" without one; noise_rate: NaN without noise; condition: corruption and severity, or kind and strength of
    text noise."""

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
    condition: str = ""


def strange(where: Place, dataset: str, half: str) -> tuple[str, ...]:
    """Remarks on the record's dataset and half of the classes if they differ from those of its folder."""
    expected = where.part if where.protocol in HALVES else "all"
    named = names_of_configs()
    other = dataset in named.values() and named.get(where.dataset, dataset) != dataset
    found = [f"dataset {dataset}"] if other and where.protocol != "other" else []
    if where.protocol != "other" and half != expected and half in ("base", "new", "all"):
        found.append(f"{half} classes")
    return tuple(found)


@functools.cache
def names_of_configs() -> dict[str, str]:
    """{name of a dataset's config: its name in results.json}."""
    found = {}
    for file in sorted((ROOT / "configs" / "datasets").glob("*.yaml")):
        if match := re.search(r'^\s*NAME:\s*"?(\w+)', file.read_text(encoding="utf-8"), re.MULTILINE):
            found[file.stem] = match[1]
    return found


def dataset_name(dataset: str) -> str:
    """A dataset as all tables and figures spell it: its registered name, "OxfordPets" for the config `oxford_pets`.
    Images of one's own are called as their config. So are other texts, such as "average of 3", and names from outside.
    """
    own = plain(dataset)
    name = names_of_configs().get(own, own)
    return (own if name == OWN_IMAGES and own != OWN_IMAGES.lower() else name) + dataset[len(own) :]


def place_of(record: Mapping, path: str, output: str = "") -> Place | None:
    """The place of a result: as recorded, else from its folder; None if neither is known.

    path: the run's folder relative to an output folder, with "/". output: absolute path of the output folder. Raises
    ValueError if the record's seed is not that of the folder, and as `recorded` does.
    """
    if found := recorded(record, path, output):
        return found
    if found := place(path, output):
        check_seed(record, found.seed)
    return found


def recorded(record: Mapping, path: str, output: str = "") -> Place | None:
    """The place from results.json; None if its protocol is not recorded.

    path, output: as for `place_of`; they give the variant, if `output` holds several sets of runs. Raises ValueError,
    KeyError or TypeError for a damaged record.
    """
    if record.get("protocol") is None:
        return None
    cell = record["cell"]
    protocol, dataset, source = str(record["protocol"]), str(cell["target"]), str(record.get("source") or "")
    rate = number(cell, "noise_rate")
    return Place(
        protocol=protocol,
        part=_recorded_part(protocol, str(record.get("subsample_classes") or "all"), source == dataset),
        method=str(record["trainer"]),
        dataset=dataset,
        source=source,
        shots=whole(cell, "shots"),
        cfg=str(record.get("cfg") or ""),
        seed=whole(record, "seed"),
        variant=_variant(str(record.get("variant") or ""), str(cell["folder"]), path, output),
        noise_type=str(cell.get("noise_type") or ""),
        noise_rate=rate,
        attack=str(cell.get("attack") or ""),
        mode=str(cell.get("mode") or ""),
        condition=str(cell.get("condition") or ""),
    )


def _variant(variant: str, folder: str, path: str, output: str) -> str:
    """The recorded variant relative to `output`, with the names of folders between the two in front.

    folder: recorded folder of the run below its set. Only its depth is used, so that folders may be renamed. If
    `output` is the folder of a variant, its runs have no variant.
    """
    recorded, here = folder.split("/"), [part for part in path.split("/") if part]
    above, left = 0, [part for part in variant.split("/") if part]
    while left:  # the folders of the variant come first
        left = left[1:] if recorded[above] == left[0] else left
        above += 1
    outside = len(here) - (len(recorded) - above)  # folders between `output` and those of the protocol
    if outside >= above:
        found = [*here[: outside - above], *variant.split("/")]
    elif outside >= 0:
        found = recorded[above - outside : above]
    else:
        moved = (output.split("/") + here)[-len(recorded) :] != recorded
        found = variant.split("/") if moved else []
    return "/".join(part for part in found if part not in ("", VARIANTS))


def _recorded_part(protocol: str, half: str, at_home: bool) -> str:
    """The part of a result. half: of the classes. at_home: the model is tested on its own training set."""
    if protocol in ACROSS:
        return "source" if at_home else "target"
    return "all" if protocol in LAYOUTS and protocol not in HALVES else half


def place(path: str, output: str = "") -> Place | None:
    """The place from a run's folder alone; None if the folder matches no layout.

    path, output: as for `place_of`. A layout may begin above `output`, which may be `output/base2new` or lie below.
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
        variant="/".join(part for part in (found["above"] or "").split("/") if part not in ("", VARIANTS)),
        noise_type="real" if layout == "real_noise" else found.get("noise_type") or "",
        noise_rate=rate,
        attack="" if attack == "clean" else attack,
        mode=found.get("mode") or ("transfer" if layout in ("test_time", "online") and attack != "clean" else ""),
        condition=found.get("condition") or "",
    )


def _part(layout: str, found: dict[str, str | None]) -> str:
    if layout in HALVES:
        return {"train_base": "base", "test_new": "new"}.get(found["part"], found["part"])
    if layout in ACROSS:
        return "source" if found["source"] == found["dataset"] else "target"
    return layout if layout in ("source", "target") else "all"


def _source(layout: str, found: dict[str, str | None]) -> str:
    dataset = found["dataset"]
    if layout == "target":
        return found["source"] or "imagenet"
    if layout == "real_noise":  # a test on another set is in the folder <dataset>_<test set>
        return next((name for name in REAL_NOISE if dataset == name or dataset.startswith(f"{name}_")), dataset)
    if layout in ("test_time", "online") or (
        layout in ("robust", "corruption", "text_noise") and found["shots"] == "0"
    ):
        return ""
    return found.get("source") or dataset
