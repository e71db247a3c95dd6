"""Makes the config of a run of train.py as a CfgNode."""

from __future__ import annotations

import logging
from argparse import Namespace
from collections.abc import Mapping
from typing import NamedTuple

from yacs.config import CfgNode

from dassl.config.domains import Domain
from dassl.config.values import COMMAND_LINE, NO_DOMAINS, merge_pairs

from .flags import named_options
from .registered import Registered
from .resolve import Config, resolve
from .rules.noise import RULE as NOISE

logger = logging.getLogger(__name__)


class Resolved(NamedTuple):
    """The config of a run: cfg, a frozen CfgNode; config, the same as {dotted key: value} with the origin of each."""

    cfg: CfgNode
    config: Config


def resolved(args: Namespace) -> Resolved:
    """The config of the run that train.py's options describe. Raises InputError for wrong options, files and pairs."""
    facts = Registered(args)
    config = resolve(args, facts)
    if config.origin.get("DATASET.NOISE.TYPE") == NOISE.origin:
        kind, rate = config["DATASET.NOISE.TYPE"], config["DATASET.NOISE.RATE"]
        logger.info("Label noise: DATASET.NOISE.TYPE %s, DATASET.NOISE.RATE %g", kind, rate)
    cfg = facts.tree(config)
    cfg.freeze()
    return Resolved(cfg, config)


def setup_cfg(args: Namespace) -> CfgNode:
    """The config as a frozen CfgNode; see `runs.resolve` for the order of its sources. Sets `args.taken_over`, which is
    `Config.taken`."""
    cfg, config = resolved(args)
    args.taken_over = config.taken
    return cfg


def reset_cfg(cfg: CfgNode, args: Namespace, domains: Mapping[str, Domain] = NO_DOMAINS) -> None:
    """Merge the named options into `cfg`; they override the YAML files."""
    merge_pairs(cfg, [x for _, *pair in named_options(args) for x in pair], COMMAND_LINE, domains)
