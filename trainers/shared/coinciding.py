"""Warns of class features that coincide, with which no class can be distinguished from another."""

from __future__ import annotations

import logging

from torch import Tensor

logger = logging.getLogger(__name__)

NEAR = 1e-4  # mean cosine distance below which features coincide; CLIP's own have some 0.1 to 0.4


def mean_distance(features: Tensor) -> float:
    """Mean cosine distance (1 - cosine) of two of C rows, normalised [C, d]; infinite for a single row."""
    count = len(features)
    if count < 2 or features.dim() != 2:
        return float("inf")
    features = features.detach().float()
    pairs = features.sum(dim=0).square().sum() - features.square().sum()  # cosines over all ordered pairs
    return 1.0 - (pairs / (count * (count - 1))).item()


def warn_if_coinciding(features: Tensor) -> bool:
    """Whether the class features [C, d] are all the same; logs a warning if so."""
    distance = mean_distance(features)
    if distance < NEAR:
        logger.warning(
            "Warning: the features of all %d classes coincide (mean cosine distance %.1e), so that all get the same "
            "logit and the loss is ln C; lower OPTIM.LR, or look at the class names and the prompt",
            len(features), distance,
        )  # fmt: skip
    return distance < NEAR
