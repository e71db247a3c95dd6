"""The registry of trainers."""

from __future__ import annotations

import logging

from dassl.utils.registry import Registry, check_availability

logger = logging.getLogger(__name__)
TRAINER_REGISTRY = Registry("TRAINER")


def build_trainer(cfg):
    """The trainer called `cfg.TRAINER.NAME`, made with `cfg`."""
    check_availability(cfg.TRAINER.NAME, TRAINER_REGISTRY.registered_names(), "trainer")
    if cfg.VERBOSE:
        logger.info("Loading trainer: %s", cfg.TRAINER.NAME)
    return TRAINER_REGISTRY.get(cfg.TRAINER.NAME)(cfg)
