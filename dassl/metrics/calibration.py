"""Calibration: whether predicted probabilities agree with accuracy. Errors are shares (0 to 1), as in the papers.

N images, C classes. `label` [N]; `confidence` [N] is the probability of the predicted class and `right` [N] whether the
prediction is correct; `probability` [N, C]; `logits` [N, C]. Sums are taken in fp64.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dassl.utils.errors import InputError

BINS = 15
_COLDEST, _HOTTEST = 1e-3, 1e3  # the range in which a temperature is searched


class Reliability(NamedTuple):
    """The numbers of a reliability diagram, [bins] each. Means are NaN in a bin without images.

    upper: upper end of each bin (a, b]; images: how many are in it; confidence: their mean confidence; accuracy: the
    share of them that is classified correctly.
    """

    upper: np.ndarray
    images: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray


def reliability(confidence: np.ndarray, right: np.ndarray, bins: int = BINS) -> Reliability:
    """Accuracy and confidence in `bins` bins (a, b] of equal width (Guo et al., ICML 2017)."""
    place = _bin(confidence, bins)
    count = np.bincount(place, minlength=bins)
    sums = [np.bincount(place, np.asarray(x, float), bins) for x in (confidence, right)]
    with np.errstate(invalid="ignore"):
        means = [total / count for total in sums]
    return Reliability((np.arange(bins) + 1) / bins, count, *means)


def ece(confidence: np.ndarray, right: np.ndarray, bins: int = BINS) -> float:
    """Expected calibration error of the top label (Guo et al., ICML 2017; 15 bins as there):

    sum over bins of |accuracy - mean confidence| * images in the bin / N.
    """
    return _gap(np.asarray(confidence, float), np.asarray(right, float), bins)


def classwise_ece(probability: np.ndarray, label: np.ndarray, bins: int = BINS) -> float:
    """Class-wise ECE (Kull et al., NeurIPS 2019; Nixon et al., CVPRW 2019, call it SCE):

    the mean over classes c of sum over bins of |share of label c - mean probability of c| * images in the bin / N.
    """
    p = np.asarray(probability, float)
    return float(np.mean([_gap(p[:, c], (label == c).astype(float), bins) for c in range(p.shape[1])]))


def _bin(value: np.ndarray, bins: int) -> np.ndarray:
    """The bin (a, b] of each value, from 0. The edges k / bins are compared, since value * bins may be rounded up."""
    return np.searchsorted(np.arange(1, bins) / bins, np.asarray(value, float), "left")


def _gap(value: np.ndarray, hit: np.ndarray, bins: int) -> float:
    return float(np.abs(np.bincount(_bin(value, bins), hit - value, bins)).sum()) / len(value)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """[N, C] -> [N, C] in fp64."""
    z = np.asarray(logits, float)
    z = z - z.max(1, keepdims=True)
    return z - np.log(np.exp(z).sum(1, keepdims=True))


def nll(logits: np.ndarray, label: np.ndarray) -> np.ndarray:
    """[N]: negative log-likelihood of each image's label, in nats. Its mean is the NLL (Guo et al. 2017)."""
    return -log_softmax(logits)[np.arange(len(label)), label]


def brier(probability: np.ndarray, label: np.ndarray) -> np.ndarray:
    """[N]: sum over classes of (p_c - [c is the label])^2, from 0 to 2; its mean is the Brier score (Brier 1950)."""
    p = np.asarray(probability, float)
    return (p**2).sum(1) - 2 * p[np.arange(len(label)), label] + 1


def fit_temperature(logits: np.ndarray, label: np.ndarray) -> float:
    """The T for which logits / T have the least NLL (temperature scaling, Guo et al., ICML 2017).

    NLL is convex in 1 / T; its slope there, mean(E_p[z] - z_label), has one zero, which bisection finds to the last
    digits. Fit it on validation images, never on test images. Raises InputError where no such T exists, because every
    image is classified correctly (the best T would be 0), or accuracy is no better than chance (infinity).
    """
    z = np.asarray(logits, float)
    z = z - z.max(1, keepdims=True)
    chosen = z[np.arange(len(label)), label]

    def slope(log_beta: float) -> float:
        p = np.exp(log_softmax(np.exp(log_beta) * z))
        return float((np.where(p > 0, p * np.where(p > 0, z, 0), 0).sum(1) - chosen).mean())

    low, high = -np.log(_HOTTEST), -np.log(_COLDEST)
    if not slope(low) < 0 < slope(high):
        raise InputError(
            f"No temperature from {_COLDEST:g} to {_HOTTEST:g} fits these {len(z)} images best: all of them are "
            "classified correctly, or the predictions are no better than chance; give more validation images."
        )
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return float(np.exp(-(low + high) / 2))
