"""Adds keys to a config, and reads values, by dotted key ("OPTIM.LR")."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from yacs.config import CfgNode


def add_keys(cfg: CfgNode, defaults: Mapping[str, object]) -> None:
    """Adds the keys of {dotted key: default}, in place, with the nodes that they need. Existing values stay."""
    for key, value in defaults.items():
        *path, leaf = key.split(".")
        node = cfg
        for part in path:
            if part not in node:
                node[part] = CfgNode()
            node = node[part]
        node.setdefault(leaf, value)


def config_value(cfg: CfgNode, key: str) -> Any:
    """The value, or node, at a dotted key."""
    return functools.reduce(lambda node, part: node[part], key.split("."), cfg)
