"""The registry of evaluators."""

from __future__ import annotations

import logging

from yacs.config import CfgNode

from dassl.protocols import Evaluator
from dassl.utils.registry import Registry, check_availability

logger = logging.getLogger(__name__)
EVALUATOR_REGISTRY = Registry("EVALUATOR")


def build_evaluator(cfg: CfgNode, **kwargs: object) -> Evaluator:
    """The evaluator called `cfg.TEST.EVALUATOR`, made with `(cfg, **kwargs)`."""
    check_availability(cfg.TEST.EVALUATOR, EVALUATOR_REGISTRY.registered_names(), "evaluator")
    if cfg.VERBOSE:
        logger.info("Loading evaluator: %s", cfg.TEST.EVALUATOR)
    return EVALUATOR_REGISTRY.get(cfg.TEST.EVALUATOR)(cfg, **kwargs)
