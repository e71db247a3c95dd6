"""The registry of trainers."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from yacs.config import CfgNode

from dassl.config.shown import for_method, trainer_name
from dassl.utils.registry import Registry, check_availability

if TYPE_CHECKING:
    from .simple import SimpleTrainer

logger = logging.getLogger(__name__)
TRAINER_REGISTRY = Registry("TRAINER")


def build_trainer(cfg: CfgNode) -> SimpleTrainer:
    """The trainer called `cfg.TRAINER.NAME`, made with `cfg`."""
    name = trainer_name(cfg)
    check_availability(name, TRAINER_REGISTRY.registered_names(), "trainer")
    if cfg.VERBOSE:
        logger.info("Loading trainer: %s", name)
    return TRAINER_REGISTRY.get(name)(for_method(cfg))
