"""The settings that identify a run: its resolved config without keys that do not concern its numbers."""

from __future__ import annotations

import hashlib
import json
from argparse import Namespace
from collections.abc import Iterable
from typing import Any

from yacs.config import CfgNode

from dassl.config.values import all_keys
from dassl.data.datasets import DATASET_REGISTRY
from dassl.engine import TRAINER_REGISTRY
from interop.plugins.config_keys import ADDED, plugin_keys
from interop.plugins.hosting import files_of
from interop.plugins.origin import is_plugin

from .silent_keys import identifying


def settings(cfg: CfgNode, args: Namespace) -> dict[str, object]:
    """The settings that identify a run, as plain JSON values: mode, tested model, and the resolved config.

    Keys that change no number, and keys of other methods, are left out.
    """
    foreign = foreign_keys(cfg, files_of(cfg, args) if getattr(args, "plugin_cfg", ()) else ())
    found: dict[str, object] = {"mode": mode_of(args)}
    if args.eval_only and args.model_dir:
        found["model"] = f"{args.model_dir}@{args.load_epoch}"
    found |= identifying({key: value_at(cfg, key) for key in all_keys(cfg)}, foreign)
    return json.loads(json.dumps(found, default=list))


def mode_of(args: Namespace) -> str:
    """The mode of a run: "train" (and test after it), "test", or "build", which does neither."""
    return "test" if args.eval_only else "build" if args.no_train else "train"


def settings_hash(found: dict[str, object]) -> str:
    """A hash of `settings`, 16 hex digits."""
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()[:16]


def value_at(cfg: CfgNode, key: str) -> Any:
    """The value at a dotted key."""
    for part in key.split("."):
        cfg = cfg[part]
    return cfg


def foreign_keys(cfg: CfgNode, plugin_cfg: Iterable[str] = ()) -> set[str]:
    """The keys that do not concern a run: those that only other methods, or plugins that it does not use, declare.

    plugin_cfg: the files of --plugin-cfg for the run's trainer, a plugin, which declare its keys. For a trainer that
    declares no keys, only keys of other plugins are foreign.
    """
    if cfg.TRAINER.NAME not in TRAINER_REGISTRY:
        return set()
    method = TRAINER_REGISTRY.get(cfg.TRAINER.NAME)
    trainers, datasets = (
        [registry.get(name) for name in registry.registered_names()]
        for registry in (TRAINER_REGISTRY, DATASET_REGISTRY)
    )
    used = (method, DATASET_REGISTRY.get(cfg.DATASET.NAME) if cfg.DATASET.NAME in DATASET_REGISTRY else None)
    strangers = [kind for kind in (*trainers, *datasets) if is_plugin(kind) and kind not in used]
    others = _declared(strangers) - _declared(kind for kind in (*trainers, *datasets) if kind not in strangers)
    own = getattr(method, "config_defaults", None)
    theirs = plugin_keys(plugin_cfg) if is_plugin(method) else {}
    if theirs:  # also other keys of the same nodes, since the checkout's train.py may add them for this run
        nodes = {key.rpartition(".")[0] for key in theirs} - {"", "TRAINER"}
        own = {*(own or ()), *theirs, *(key for key in all_keys(cfg) if key.rpartition(".")[0] in nodes)}
    others |= ADDED - {*(own or ())}
    if own is None:
        return others
    unused = {key for key in all_keys(cfg) if key.startswith("TRAINER.") and key.count(".") > 1}
    return (_declared(trainers) | unused | others) - set(own)


def _declared(kinds: Iterable[type]) -> set[str]:
    return {key for kind in kinds for key in getattr(kind, "config_defaults", {})}
