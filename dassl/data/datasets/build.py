"""The registry of data sets."""

from __future__ import annotations

import logging
from collections.abc import Callable

from dassl.utils.registry import Registry, check_availability

logger = logging.getLogger(__name__)
DATASET_REGISTRY = Registry("DATASET")
# Functions (cfg, data set) -> data set, applied in order to every data set that is built: label noise and the like.
WRAPPERS: list[Callable] = []


def build_dataset(cfg):
    """The data set called `cfg.DATASET.NAME`, made with `cfg`."""
    check_availability(cfg.DATASET.NAME, DATASET_REGISTRY.registered_names(), "dataset")
    if cfg.VERBOSE:
        logger.info("Loading dataset: %s", cfg.DATASET.NAME)
    dataset = DATASET_REGISTRY.get(cfg.DATASET.NAME)(cfg)
    for wrap in WRAPPERS:
        dataset = wrap(cfg, dataset)
    return dataset
