"""The facts that the resolution of a config needs, from the registries of this process."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping

from yacs.config import CfgNode

from dassl.config import add_keys
from dassl.config.domains import Domain
from dassl.config.yaml_file import read_leaves
from dassl.data.datasets import DATASET_REGISTRY
from dassl.engine import TRAINER_REGISTRY
from datasets.noise.config import ALIASES, SWAPS
from interop.plugins.checkout_settings import Taken, take_over
from interop.plugins.config_keys import add_plugin_keys, leaves, plugin_keys, put
from interop.plugins.hosting import files_of
from interop.plugins.loading import registered_names
from interop.plugins.origin import is_plugin
from trainers.sar import SAR, with_sar
from trainers.shared.architecture import saved_architecture
from trainers.shared.discovery import dataset_overrides

from .config_domains import domains_of
from .defaults import default_cfg
from .flags import check_trained
from .no_effect import check_meant


class Registered:
    """`runs.rules.facts.Facts` for a command with these options, whose plugins must be loaded already.

    base: the config before YAML files and options. Raises InputError if the method's name may mean two classes, and for
    a file of --plugin-cfg that cannot be used.
    """

    noise_aliases, noise_swaps = ALIASES, SWAPS

    def __init__(self, args: Namespace) -> None:
        cfg = default_cfg()
        cfg.TRAINER.NAME = args.trainer
        self._plugins = args.plugin
        for key, name in self.names(leaves(cfg)).items():
            put(cfg, key, name)
        self.defaults = leaves(cfg)
        self._own = files_of(cfg, args)  # the files of --plugin-cfg for the run's method
        add_plugin_keys(cfg, args.plugin_cfg, self._own)
        self.base, self._leaves = cfg, leaves(cfg)
        files = [*self._own, *(file for file in args.plugin_cfg if file not in self._own)]
        self.brought = {
            key: (value, next(file for file in files if key in plugin_keys([file])))
            for key, value in self._leaves.items()
            if key not in self.defaults or self.defaults[key] != value
        }
        self.datasets = DATASET_REGISTRY.registered_names()

    def leaves(self, file: str) -> list[tuple[str, object]]:
        return read_leaves(file)

    def names(self, config: Mapping[str, object]) -> Mapping[str, str]:
        return registered_names(config, self._plugins)

    def domains(self, method: str) -> Mapping[str, Domain]:
        return domains_of(method)

    def is_hosted(self, method: str) -> bool:
        return method in TRAINER_REGISTRY and is_plugin(TRAINER_REGISTRY.get(method))

    def has_sar(self, method: str) -> bool | None:
        known = method in TRAINER_REGISTRY.registered_names()
        return issubclass(TRAINER_REGISTRY.get(method), SAR) if known else None

    def with_sar(self, method: str) -> str:
        return with_sar(TRAINER_REGISTRY.get(method)).__name__

    def table(self, config: Mapping[str, object]) -> Mapping[str, object]:
        return dataset_overrides(self.tree(config))

    def checkout(self, config: Mapping[str, object], args: Namespace) -> list[Taken]:
        return take_over(self.tree(config), self.base.clone(), self._own, args) if self._own else []

    def checkpoint(self, config: Mapping[str, object], args: Namespace) -> Mapping[str, object]:
        if not (args.eval_only and args.model_dir):
            return {}
        found = saved_architecture(str(config["TRAINER.NAME"]), args.model_dir, args.load_epoch)
        check_trained(found, config, args)
        return found

    def check(self, config: Mapping[str, object], args: Namespace) -> None:
        check_meant(config, args, self.is_hosted(str(config["TRAINER.NAME"])))

    def tree(self, config: Mapping[str, object]) -> CfgNode:
        """The config as nested CfgNodes, which Dassl's code reads."""
        cfg = self.base.clone()
        for key, value in config.items():
            if key not in self._leaves:
                add_keys(cfg, {key: value})
            elif value is not self._leaves[key]:
                put(cfg, key, value)
        for key in self._leaves.keys() - config.keys():
            _remove(cfg, key.split("."))
        return cfg


def _remove(cfg: CfgNode, path: list[str]) -> None:
    """Remove a key, and the groups that become empty."""
    if path[1:]:
        _remove(cfg[path[0]], path[1:])
    if not (path[1:] and cfg[path[0]]):
        del cfg[path[0]]
