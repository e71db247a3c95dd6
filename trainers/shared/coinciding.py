"""Detects runs whose class features have collapsed into one point, so that classes cannot be distinguished.

The measure is the mean cosine distance between the class features that a test compares images with. It is compared with
that of zero-shot CLIP for the same class names, which is the usual distance of such names under this backbone. Labels
and accuracies are not used.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from datasets.templates import custom_template

from .precision import autocast

if TYPE_CHECKING:
    from .method import Method

logger = logging.getLogger(__name__)

NEAR = 1e-4  # features with a mean cosine distance below this always count as collapsed; CLIP's are 0.1 to 0.4
SHARE = 0.01  # of zero-shot CLIP's distance, below which features count as collapsed (a tenth of its differences)
IMAGES = 8  # of a method whose class features depend on the image: the first images of the test set


def mean_distance(features: Tensor) -> float:
    """Mean cosine distance (1 - cosine) of two of C rows, normalised [C, d] or [B, C, d], of which the mean over B is
    taken; infinite for a single row."""
    count = features.shape[-2]
    if count < 2:
        return math.inf
    features = features.detach().float()
    pairs = features.sum(dim=-2).square().sum(dim=-1) - features.square().sum(dim=(-2, -1))  # cosines, ordered pairs
    return max(0.0, 1.0 - (pairs / (count * (count - 1))).mean().item())  # rounding may go below 0


def has_collapsed(distance: float, zero_shot: float) -> bool:
    """Whether class features of this mean cosine distance have collapsed. zero_shot: that of zero-shot CLIP."""
    return distance < max(NEAR, SHARE * zero_shot)


def class_feature_facts(trainer: Method) -> dict:
    """Entries of results.json about the class features of the last test; {} for a single class and without training.

    class_feature_distance: see `mean_distance`. zero_shot_class_feature_distance: of CLIP's features of the dataset's
    template. collapsed: whether the first is below 1 % of the second (`has_collapsed`).
    """
    if len(trainer.classnames) < 2 or not trainer.get_model_names():
        return {}
    template = custom_template(trainer.cfg.DATASET.NAME)
    with torch.no_grad(), trainer.test_draws(), autocast(trainer.precision, trainer.device, training=False):
        distance = mean_distance(trainer.class_features())
        zero_shot = mean_distance(trainer.frozen_text([template.format(name) for name in trainer.classnames]))
    return {
        "class_feature_distance": distance,
        "zero_shot_class_feature_distance": zero_shot,
        "collapsed": has_collapsed(distance, zero_shot),
    }


def fixed_class_features(trainer: Method) -> dict[str, np.ndarray]:
    """{"class_features", "zero_shot_features"}: [C, d] in fp32, normalised; those that the last test compared images
    with, and CLIP's of the dataset's template. {} where the class features depend on the image, and for a method that
    computes its answer itself (test-time methods, plugins)."""
    if trainer.answers_itself():
        return {}
    template = custom_template(trainer.cfg.DATASET.NAME)
    with torch.no_grad(), trainer.test_draws(), autocast(trainer.precision, trainer.device, training=False):
        tuned = trainer.class_features()
        if tuned.ndim != 2:
            return {}
        plain = trainer.frozen_text([template.format(name) for name in trainer.classnames])
        found = {"class_features": trainer.text_noise.moved(tuned), "zero_shot_features": plain}
    return {name: x.float().cpu().numpy() for name, x in found.items()}


def tell(facts: dict, predicted: int | None, classes: int, warn: bool = True) -> None:
    """Logs the facts; with `warn` a warning if the features have collapsed. predicted: how many classes the test
    predicted."""
    distance, zero_shot = facts["class_feature_distance"], facts["zero_shot_class_feature_distance"]
    logger.info("* class features: mean cosine distance %.4f (zero-shot CLIP's: %.4f)", distance, zero_shot)
    if facts["collapsed"] and warn:
        seen = "" if predicted is None else f", and the test predicted {predicted} of {classes} classes"
        logger.warning(
            "Warning: the run has collapsed: the features of all %d classes nearly coincide (mean cosine distance "
            "%.1e, zero-shot CLIP's is %.1e)%s; lower OPTIM.LR, or look at the class names and the prompt",
            classes, distance, zero_shot, seen,
        )  # fmt: skip
