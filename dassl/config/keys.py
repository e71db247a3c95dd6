"""Adding config keys to a config."""

from __future__ import annotations

from collections.abc import Mapping

from yacs.config import CfgNode


def add_keys(cfg: CfgNode, defaults: Mapping[str, object]) -> None:
    """Adds the keys of {dotted key: default}, in place, with the nodes that they need; a key that is there stays."""
    for key, value in defaults.items():
        *path, leaf = key.split(".")
        node = cfg
        for part in path:
            node = node.setdefault(part, CfgNode())
        node.setdefault(leaf, value)
