"""The way in from a train.py: `extend_cfg(cfg)`, called at the end of its own."""

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

PREFIX = "RobustPrompt"  # of a method whose name is taken
# Keys that all our methods look at. Those that are there already stay as they are.
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
        return  # RobustPrompt itself reads this train.py (--plugin-cfg): it has the methods and their keys
    attach_logger(__package__)
    add_keys(cfg, COMMON)
    for name, module in METHODS.items():
        importlib.import_module(module)
        method = TRAINER_REGISTRY.get(name)
        add_keys(cfg, method.config_defaults)
        _publish(method)
    if "LANGUAGE" in cfg:  # a checkout may call its classes as it likes: a warning, and no end of the run
        cfg.LANGUAGE.MISSING = "stand_in"
    # In place of the class's method, for this config alone: train.py calls it last, so no third line is needed there.
    cfg.__dict__["merge_from_list"] = functools.partial(merge_from_list, cfg)


def _publish(method: type) -> None:
    registry = dassl.engine.TRAINER_REGISTRY
    known, name = registry.registered_names(), method.__name__
    other = PREFIX + name
    if other in known or (name in known and registry.get(name) is method):
        return  # a second call
    if name in known:
        print(f"{__package__}: {name} is registered here already; ours is {other}")  # noqa: T201
        method = type(other, (Renamed, method), {"__doc__": method.__doc__, "__module__": method.__module__})
    registry.register()(method)


class Renamed:
    """Stands before a method that goes by another name here; its checkpoints still say whose they are."""

    def run_identity(self) -> dict:
        return super().run_identity() | {"TRAINER.NAME": type(self).__name__.removeprefix(PREFIX)}


def merge_from_list(cfg: CfgNode, pairs: list) -> None:
    """The command line's pairs, and before them the method's published settings for the dataset."""
    merge = functools.partial(CfgNode.merge_from_list, cfg)
    merge(pairs)  # once before: the settings depend on dataset and task
    registry = dassl.engine.TRAINER_REGISTRY
    if cfg.TRAINER.NAME in registry.registered_names():
        settings = getattr(registry.get(cfg.TRAINER.NAME), "dataset_overrides", lambda cfg: {})(cfg)
        merge([x for pair in settings.items() for x in pair])
        merge(pairs)
