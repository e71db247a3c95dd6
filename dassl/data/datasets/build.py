"""The registry of data sets."""

from __future__ import annotations

import logging

from dassl.utils.registry import Registry, check_availability

logger = logging.getLogger(__name__)
DATASET_REGISTRY = Registry("DATASET")


def build_dataset(cfg):
    """The data set called `cfg.DATASET.NAME`, made with `cfg`."""
    check_availability(cfg.DATASET.NAME, DATASET_REGISTRY.registered_names(), "dataset")
    if cfg.VERBOSE:
        logger.info("Loading dataset: %s", cfg.DATASET.NAME)
    return DATASET_REGISTRY.get(cfg.DATASET.NAME)(cfg)
