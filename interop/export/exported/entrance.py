"""`extend_cfg(cfg)`, which the checkout's train.py calls at the end of its own function of that name."""

from __future__ import annotations

import functools
import importlib
import sys

from yacs.config import CfgNode

import dassl.engine
from dassl.config.keys import add_keys
from dassl.utils.logger import attach_logger
from interop.export.exported.methods import METHODS
from interop.export.exported.registry import TRAINER_REGISTRY

PREFIX = "RobustPrompt"  # put before the name of a method if the checkout has one of that name
# Config keys that all exported methods read. A key that the config has already is not changed.
COMMON = {
    "DATASET.SUBSAMPLE_CLASSES": "all",  # all | base | new
    "TASK": "B2N",  # B2N base-to-new | CD cross-dataset and domain generalisation | FS few-shot
    "TRAINER.FP16_LOSS": False,
    "MODEL.BACKBONE.PATH": "",  # a local CLIP file, in place of a download
    "MODEL.BACKBONE.SPEC": "",
    "MODEL.BACKBONE.VISUAL_WEIGHTS": "",
    "MODEL.BACKBONE.VISUAL_WEIGHTS_KEY": "",
    "TEST.FEATURE_BANK": True,  # keep test image features of frozen towers on disk
    "OPTIM.ADAM_EPS": 1e-8,
}


def extend_cfg(cfg: CfgNode) -> None:
    """Registers the exported methods in Dassl, and adds their config keys to `cfg`.

    A method whose name is taken here (a checkout's own CoOp) is registered as RobustPrompt<Name>.
    """
    if "trainers.shared.discovery" in sys.modules:
        return  # RobustPrompt itself is reading this train.py (--plugin-cfg) and has the methods and keys already
    attach_logger(__package__)
    add_keys(cfg, COMMON)
    for name, module in METHODS.items():
        importlib.import_module(module)
        method = TRAINER_REGISTRY.get(name)
        add_keys(cfg, method.config_defaults)
        _publish(method)
    if "LANGUAGE" in cfg:  # a checkout may have other class names: warn about a missing one instead of stopping
        cfg.LANGUAGE.MISSING = "stand_in"
    # Replaces the method for this config alone. train.py calls it last, so it needs no third line for this.
    cfg.__dict__["merge_from_list"] = functools.partial(merge_from_list, cfg)


def _publish(method: type) -> None:
    registry = dassl.engine.TRAINER_REGISTRY
    known, name = registry.registered_names(), method.__name__
    other = PREFIX + name
    if other in known or (name in known and registry.get(name) is method):
        return  # a second call
    if name in known:
        print(f"{__package__}: {name} is registered here already; RobustPrompt's is {other}")  # noqa: T201
        method = type(other, (Renamed, method), {"__doc__": method.__doc__, "__module__": method.__module__})
    registry.register()(method)


class Renamed:
    """Mix-in of a method that is registered under another name; its checkpoints keep the original name."""

    def run_identity(self) -> dict:
        return super().run_identity() | {"TRAINER.NAME": type(self).__name__.removeprefix(PREFIX)}


def merge_from_list(cfg: CfgNode, pairs: list) -> None:
    """Merge the method's published settings for the dataset, then the command line's pairs."""
    merge = functools.partial(CfgNode.merge_from_list, cfg)
    merge(pairs)  # first, since the published settings depend on dataset and task
    registry = dassl.engine.TRAINER_REGISTRY
    if cfg.TRAINER.NAME in registry.registered_names():
        settings = getattr(registry.get(cfg.TRAINER.NAME), "dataset_overrides", lambda cfg: {})(cfg)
        merge([x for pair in settings.items() for x in pair])
        merge(pairs)
