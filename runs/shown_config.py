"""What the log says of the config: config.yaml has all of it."""

from __future__ import annotations

from argparse import Namespace

from yacs.config import CfgNode

from dassl.data.datasets import DATASET_REGISTRY
from dassl.engine import TRAINER_REGISTRY

from .config import all_keys
from .settings import foreign_keys, value_at


def shown_config(cfg: CfgNode, default: CfgNode, plugin_cfg: list[str]) -> str:
    """One line "KEY: value" for each key that the method or the dataset declares, and for each that concerns this run
    and is not as in `default`."""
    own = set()
    for name, registry in ((cfg.TRAINER.NAME, TRAINER_REGISTRY), (cfg.DATASET.NAME, DATASET_REGISTRY)):
        if name in registry:
            own |= set(getattr(registry.get(name), "config_defaults", ()))
    foreign, known = foreign_keys(cfg, plugin_cfg), set(all_keys(default))
    lines = [
        f"{key}: {value_at(cfg, key)}"
        for key in all_keys(cfg)
        if key in own or key not in foreign and (key not in known or value_at(cfg, key) != value_at(default, key))
    ]
    return "\n".join([*lines, "(all other keys are as they are by default; config.yaml has them all)"])


def shown_arguments(args: Namespace) -> str:
    """One line for each option that was given."""
    return "\n".join(
        f"{key}: {value}"
        for key, value in sorted(vars(args).items())
        if value not in ("", None, False, []) and key != "taken_over"
    )
