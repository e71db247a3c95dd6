"""Configuration: `get_cfg_default()` and `clean_cfg()`."""

from __future__ import annotations

from yacs.config import CfgNode

from .defaults import DEFAULTS
from .keys import add_keys

__all__ = ["add_keys", "cfg_default", "clean_cfg", "get_cfg_default"]
cfg_default = CfgNode(DEFAULTS)  # upstream's name for what `get_cfg_default` copies


def get_cfg_default() -> CfgNode:
    """A fresh, unfrozen `yacs.config.CfgNode` with every default; new keys may be attached at any level."""
    return cfg_default.clone()


def clean_cfg(cfg: CfgNode, trainer: str) -> None:
    """Drop, in place, the nodes of all methods from `cfg.TRAINER` but NAME and the one called `trainer.upper()`."""
    keep = {"NAME", trainer.upper()}
    for key in [k for k in cfg.TRAINER if k not in keep]:
        cfg.TRAINER.pop(key)
