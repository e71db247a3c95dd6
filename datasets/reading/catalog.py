"""The datasets, by the name of their YAML file or of their class, and the config that loads one."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml
from yacs.config import CfgNode

from dassl.config import get_cfg_default
from dassl.config.yaml_file import LOADER
from dassl.data.datasets import DATASET_REGISTRY
from dassl.utils import InputError

LARGEST_SEED = 2**63  # torch accepts seeds below this
CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "datasets"


@dataclass(frozen=True)
class Entry:
    """One dataset. `stem`: name of its YAML file; `name`: registered name; `settings`: what the YAML sets."""

    stem: str
    name: str
    settings: dict

    @property
    def loader(self) -> type:
        return DATASET_REGISTRY.get(self.name)

    @property
    def own_folder(self) -> str:
        """DATASET.FOLDER.PATH of its YAML file; "" where there is none."""
        return (self.settings.get("FOLDER") or {}).get("PATH") or ""

    def folder(self, root: str | Path) -> Path:
        """Where the dataset is or belongs under `root`. InputError if neither loader nor YAML file names a folder."""
        if getattr(self.loader, "dataset_dir", ""):
            return Path(self.loader.find_dir(str(root)))
        if not (own := self.own_folder):
            raise InputError(
                f"{self.stem} has no folder of its own; a YAML file with DATASET.FOLDER.PATH gives it one."
            )
        return Path(root).expanduser().absolute() / own


def entries() -> list[Entry]:
    """All datasets with a YAML file in configs/datasets, by its name, and then registered ones without."""
    found = []
    for file in sorted(CONFIGS.glob("*.yaml")):
        settings = (yaml.load(file.read_text(), LOADER) or {}).get("DATASET", {})
        if settings.get("NAME") in DATASET_REGISTRY:
            found.append(Entry(file.stem, settings["NAME"], settings))
    named = {entry.name for entry in found}
    rest = [name for name in DATASET_REGISTRY.registered_names() if name not in named]
    return found + [Entry(name, name, {"NAME": name}) for name in rest]


def find(name: str) -> Entry:
    """The dataset of that YAML stem or registered name, in any case. InputError lists the nearest names."""
    known = entries()
    for key in ("stem", "name"):  # several YAML files may be about one loader
        for entry in known:
            if getattr(entry, key).lower() == name.lower():
                return entry
    names = [entry.stem for entry in known]
    near = difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.5)
    hint = f"nearest: {', '.join(near)}" if near else f"there are {', '.join(names)}"
    raise InputError(f"There is no dataset {name!r}; {hint}.")


def make_cfg(entry: Entry, root: str | Path, shots: int = -1, seed: int = 1, half: str = "all") -> CfgNode:
    """The config a run would load this dataset with. InputError for an invalid number of shots or seed."""
    if shots < 1 and shots != -1:
        raise InputError(f"--shots is {shots}, but must be 1 or more, or -1 for all images.")
    if not 0 <= seed < LARGEST_SEED:
        raise InputError(
            f"--seed is {seed}, but must be 0 or more (a negative one draws anew each time) and below 2**63."
        )
    cfg = get_cfg_default()
    cfg.set_new_allowed(True)
    cfg.merge_from_other_cfg(CfgNode({"DATASET": dict(entry.settings)}))
    cfg.DATASET.ROOT, cfg.DATASET.NUM_SHOTS, cfg.DATASET.SUBSAMPLE_CLASSES = str(root), shots, half
    cfg.SEED = seed
    cfg.freeze()
    return cfg


@contextmanager
def quiet() -> Iterator[None]:
    """Inside the block, log messages up to warnings are off: the caller reports what matters."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
