"""Whether a score separates known from unknown images, or right from wrong predictions. Results are shares (0 to 1).

`known` [N] and `unknown` [M] are the scores of images of known classes and of others; higher means known.
"""

from __future__ import annotations

import math

import numpy as np


def aurc(confidence: np.ndarray, right: np.ndarray) -> float:
    """Area under the risk-coverage curve (Geifman et al., ICLR 2019):

    the mean over k = 1 .. N of the share of wrong predictions among the k most confident images. Images of equal
    confidence count with their average over all orders, so that the result does not depend on the order of the list.
    """
    wrong = 1.0 - np.asarray(right, float)
    _, place, count = np.unique(-np.asarray(confidence, float), return_inverse=True, return_counts=True)
    errors = np.bincount(place, wrong)
    before = np.repeat(np.cumsum(errors) - errors, count)
    rank = np.arange(1, len(wrong) + 1)
    inside = rank - np.repeat(np.cumsum(count) - count, count)
    return float(((before + inside * np.repeat(errors / count, count)) / rank).mean())


def auroc(known: np.ndarray, unknown: np.ndarray) -> float:
    """Area under the ROC curve: P(score of a known image > that of an unknown one) + P(equal) / 2 (Hanley and McNeil,
    Radiology 1982), over all pairs."""
    ordered = np.sort(unknown)
    below, upto = np.searchsorted(ordered, known, "left"), np.searchsorted(ordered, known, "right")
    return float((below + upto).sum()) / (2 * len(known) * len(unknown))


def fpr_at_tpr(known: np.ndarray, unknown: np.ndarray, tpr: float = 0.95) -> float:
    """FPR at 95 % TPR (Liang et al., ICLR 2018): the share of unknown images that score at least t, the highest
    threshold that at least 95 % of the known images reach."""
    needed = math.ceil(tpr * len(known) - 1e-9)
    threshold = np.sort(known)[len(known) - needed]
    return float((np.asarray(unknown) >= threshold).mean())


def logsumexp(logits: np.ndarray) -> np.ndarray:
    """[N, C] -> [N], in fp64."""
    z = np.asarray(logits, float)
    top = z.max(1)
    return top + np.log(np.exp(z - top[:, None]).sum(1))


def openworld_auc(
    base_score: np.ndarray, base_right: np.ndarray, new_score: np.ndarray, new_right: np.ndarray
) -> float:
    """OpenworldAUC (Hua et al., ICML 2025):

    the share of all pairs of a base and a new image where the base image has the higher score (equal ones count half),
    the base image is classified correctly among the base classes, and the new one among the new classes. Scores: how
    likely the image's class is a base class; `*_right`: whether it is classified correctly among those of its own kind.
    It is at most the product of the two accuracies, and does not depend on how many images there are of each kind.
    """
    base, new = np.asarray(base_score)[np.asarray(base_right, bool)], np.asarray(new_score)[np.asarray(new_right, bool)]
    if not len(base) or not len(new):
        return 0.0
    return auroc(base, new) * (len(base) / len(base_right)) * (len(new) / len(new_right))
