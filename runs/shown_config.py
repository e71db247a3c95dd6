"""Text on the config for the log and --show-config; config.yaml has the whole config."""

from __future__ import annotations

import math
from argparse import Namespace

import yaml
from yacs.config import CfgNode

from dassl.config.values import all_keys
from dassl.data.datasets import DATASET_REGISTRY
from dassl.engine import TRAINER_REGISTRY
from dassl.utils.registry import check_availability

from .resolve import DEFAULT, Config
from .settings import foreign_keys, value_at


def shown_config(cfg: CfgNode, default: CfgNode, plugin_cfg: list[str]) -> str:
    """One line "KEY: value" for each of `shown_keys`."""
    lines = [f"{key}: {value_at(cfg, key)}" for key in shown_keys(cfg, default, plugin_cfg)]
    return "\n".join([*lines, "(all other keys are as they are by default; config.yaml has them all)"])


def shown_keys(cfg: CfgNode, default: CfgNode, plugin_cfg: list[str]) -> list[str]:
    """The keys that the method or the dataset declares, and those that concern this run and differ from `default`.

    plugin_cfg: the files of --plugin-cfg for the run's method.
    """
    own = set()
    for name, registry in ((cfg.TRAINER.NAME, TRAINER_REGISTRY), (cfg.DATASET.NAME, DATASET_REGISTRY)):
        if name in registry:
            own |= set(getattr(registry.get(name), "config_defaults", ()))
    foreign, known = foreign_keys(cfg, plugin_cfg), set(all_keys(default))
    return [
        key for key in all_keys(cfg)
        if key in own or key not in foreign and (key not in known or value_at(cfg, key) != value_at(default, key))
    ]  # fmt: skip


def config_with_origins(cfg: CfgNode, config: Config, default: CfgNode, plugin_cfg: list[str]) -> str:
    """A YAML line "KEY: value  # origin" for each of `shown_keys`, and a comment on the others.

    Raises InputError for an unknown method or dataset.
    """
    check_availability(cfg.TRAINER.NAME, TRAINER_REGISTRY.registered_names(), "trainer")
    check_availability(cfg.DATASET.NAME, DATASET_REGISTRY.registered_names(), "dataset")
    keys = shown_keys(cfg, default, plugin_cfg)
    lines = [f"{key}: {_in_yaml(config[key])}" for key in keys]
    width = min(max(map(len, lines), default=0), 60)
    lines = [f"{line:{width}}  # {config.origin.get(key, DEFAULT)}" for line, key in zip(lines, keys, strict=True)]
    return "\n".join([*lines, "# All other keys are as they are by default."])


def _in_yaml(value: object) -> str:
    try:
        return yaml.safe_dump(value, default_flow_style=True, width=math.inf, allow_unicode=True).partition("\n")[0]
    except yaml.YAMLError:  # a plugin's value of a type that YAML does not support
        return repr(value)


def shown_arguments(args: Namespace) -> str:
    """A line "option: value" for each option that was given."""
    return "\n".join(
        f"{key}: {value}"
        for key, value in sorted(vars(args).items())
        if value not in ("", None, False, []) and key not in ("taken_over", "about")
    )
