"""The registry of data sets."""

from __future__ import annotations

import logging
from collections.abc import Callable

from yacs.config import CfgNode

from dassl.config.shown import for_dataset, of_run
from dassl.utils.registry import Registry, check_availability

from .base_dataset import DatasetBase

logger = logging.getLogger(__name__)
DATASET_REGISTRY = Registry("DATASET")
# Functions (cfg, data set) -> data set, applied in order to every data set that is built: label noise and the like.
WRAPPERS: list[Callable[[CfgNode, DatasetBase], DatasetBase]] = []


def build_dataset(cfg: CfgNode) -> DatasetBase:
    """The data set called `cfg.DATASET.NAME`, made with `cfg`."""
    cfg = of_run(cfg)  # a method may know the data set under another name
    check_availability(cfg.DATASET.NAME, DATASET_REGISTRY.registered_names(), "dataset")
    if cfg.VERBOSE:
        logger.info("Loading dataset: %s", cfg.DATASET.NAME)
    kind, cfg = DATASET_REGISTRY.get(cfg.DATASET.NAME), for_dataset(cfg)
    dataset = kind(cfg)
    for wrap in WRAPPERS:
        dataset = wrap(cfg, dataset)
    return dataset
