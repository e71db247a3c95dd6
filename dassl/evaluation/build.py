"""The registry of evaluators."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from yacs.config import CfgNode

from dassl.utils.registry import Registry, check_availability

if TYPE_CHECKING:
    from .evaluator import EvaluatorBase

logger = logging.getLogger(__name__)
EVALUATOR_REGISTRY = Registry("EVALUATOR")


def build_evaluator(cfg: CfgNode, **kwargs: object) -> EvaluatorBase:
    """The evaluator called `cfg.TEST.EVALUATOR`, made with `(cfg, **kwargs)`."""
    check_availability(cfg.TEST.EVALUATOR, EVALUATOR_REGISTRY.registered_names(), "evaluator")
    if cfg.VERBOSE:
        logger.info("Loading evaluator: %s", cfg.TEST.EVALUATOR)
    return EVALUATOR_REGISTRY.get(cfg.TEST.EVALUATOR)(cfg, **kwargs)
