"""Finds trainers: every module directly in `trainers/`. For files from outside see `interop/plugins/`."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

from yacs.config import CfgNode

from dassl.config import add_keys
from dassl.config.shown import for_method
from dassl.data.datasets import DATASET_REGISTRY
from dassl.engine import TRAINER_REGISTRY
from dassl.utils import Registry


def discover() -> list[str]:
    """Imports every module of `trainers/` itself, which registers its trainers. Returns the module names."""
    package = __name__.split(".")[0]
    found = pkgutil.iter_modules([str(Path(__file__).parent.parent)])
    names = [m.name for m in found if not m.ispkg and not m.name.startswith("_")]
    for name in names:
        importlib.import_module(f"{package}.{name}")
    return names


def add_defaults(cfg: CfgNode, registry: Registry) -> None:
    """Adds the config keys that a registry's classes declare in `config_defaults` ({dotted key: default}).

    Two classes may declare the same key (CoOp's node serves several methods); the first default stays.
    """
    for name in registry.registered_names():
        add_keys(cfg, getattr(registry.get(name), "config_defaults", {}))


def add_trainer_defaults(cfg: CfgNode) -> None:
    """Adds the config keys of the registered trainers."""
    add_defaults(cfg, TRAINER_REGISTRY)


def add_dataset_defaults(cfg: CfgNode) -> None:
    """Adds the config keys of the registered datasets (`DATASET.FOLDER.PATH` and the like)."""
    add_defaults(cfg, DATASET_REGISTRY)


def dataset_overrides(cfg: CfgNode) -> dict[str, object]:
    """{dotted key: value}: the trainer's settings for this dataset; empty for a plain Dassl trainer."""
    if cfg.TRAINER.NAME not in TRAINER_REGISTRY.registered_names():
        return {}
    return getattr(TRAINER_REGISTRY.get(cfg.TRAINER.NAME), "dataset_overrides", lambda cfg: {})(for_method(cfg))
