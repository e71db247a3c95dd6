"""Every figure by hand on a few images, and against scikit-learn or a slow second way on random ones."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax as scipy_log_softmax
from scipy.stats import binomtest, chi2
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve

from dassl.metrics.calibration import brier, classwise_ece, ece, fit_temperature, log_softmax, nll, reliability
from dassl.metrics.classification import accuracy, class_accuracies, macro_f1, worst_class_accuracy
from dassl.metrics.detection import aurc, auroc, fpr_at_tpr, logsumexp, openworld_auc
from dassl.metrics.paired import mcnemar, paired_bootstrap
from dassl.utils import InputError


@pytest.fixture
def drawn():
    """Logits [400, 6] that say something about the labels, and labels."""
    random = np.random.default_rng(5)
    label = random.integers(6, size=400)
    logits = 2 * random.normal(size=(400, 6))
    logits[np.arange(400), label] += 2
    return logits, label


def test_accuracies_by_hand():
    label, prediction = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 3, 1, 0, 2])
    assert accuracy(label, prediction) == pytest.approx(100 * 4 / 6)
    assert class_accuracies(label, prediction) == {0: pytest.approx(200 / 3), 1: 50.0, 2: 100.0}
    assert worst_class_accuracy(label, prediction) == 50.0


def test_macro_f1_is_scikit_learns(drawn):
    logits, label = drawn
    prediction = logits.argmax(1)
    assert macro_f1(label, prediction) == pytest.approx(100 * sk.f1_score(label, prediction, average="macro"))


def test_calibration_errors_by_hand():
    confidence, right = np.array([0.05, 0.951, 0.97, 0.5]), np.array([False, True, False, True])
    assert ece(confidence, right, 20) == pytest.approx((0.05 + 0.921 + 0.5) / 4)
    assert ece(np.ones(4), np.ones(4, bool)) == 0
    probability = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]])
    # class 0: bins (0.8, 0.9] with 0.9, (0.7, 0.8] with 0.8, (0.2, 0.3] with 0.3; class 1 alike; each gap is a third
    gaps = (abs(1 - 0.9) + abs(0 - 0.8) + abs(0 - 0.3)) / 3, (abs(0 - 0.1) + abs(1 - 0.2) + abs(1 - 0.7)) / 3
    assert classwise_ece(probability, np.array([0, 1, 1]), 10) == pytest.approx(sum(gaps) / 2)


def test_a_confidence_on_a_bins_edge_is_in_the_lower_bin():
    found = reliability(np.array([0.0, 0.2, 0.2000001, 1.0]), np.array([0, 1, 0, 1]), 5)
    assert found.images.tolist() == [2, 1, 0, 0, 1] and np.isnan(found.accuracy[2])
    assert found.accuracy[0] == 0.5 and found.confidence[0] == pytest.approx(0.1)


@pytest.mark.parametrize("bins", [5, 10, 15, 20])
def test_every_edge_is_in_its_lower_bin(bins):
    """7 / 20 * 20 is above 7 in floating point, as are others."""
    edges = np.arange(1, bins + 1) / bins
    assert reliability(edges, edges > 0, bins).images.tolist() == [1] * bins
    above = reliability(np.nextafter(edges[:-1], 1), edges[:-1] > 0, bins).images
    assert above.tolist() == [0, *[1] * (bins - 1)]


def test_reliability_and_ece_are_scikit_learns(drawn):
    logits, label = drawn
    p = np.exp(log_softmax(logits))
    confidence, right = p.max(1), p.argmax(1) == label
    found = reliability(confidence, right)
    share, mean = calibration_curve(right, confidence, n_bins=15)
    filled = found.images > 0
    np.testing.assert_allclose(found.accuracy[filled], share)
    np.testing.assert_allclose(found.confidence[filled], mean)
    expected = (np.abs(share - mean) * found.images[filled]).sum() / 400
    assert ece(confidence, right) == pytest.approx(expected, abs=1e-12)
    each = []
    for c in range(6):
        counts = np.histogram(p[:, c], np.linspace(0, 1, 16))[0]
        share, mean = calibration_curve(label == c, p[:, c], n_bins=15)
        each.append((np.abs(share - mean) * counts[counts > 0]).sum() / 400)
    assert classwise_ece(p, label) == pytest.approx(np.mean(each), abs=1e-12)


def test_nll_and_brier_are_scikit_learns(drawn):
    logits, label = drawn
    np.testing.assert_allclose(log_softmax(logits), scipy_log_softmax(logits, axis=1))
    p = np.exp(log_softmax(logits))
    assert nll(logits, label).mean() == pytest.approx(sk.log_loss(label, p))
    expected = sum(sk.brier_score_loss(label == c, p[:, c]) for c in range(6))
    assert brier(p, label).mean() == pytest.approx(expected)


def test_the_temperature_has_the_least_nll(drawn):
    logits, label = drawn
    for scale in (0.1, 1.0, 30.0):
        best = minimize_scalar(
            lambda log_t, z=scale * logits: nll(z / np.exp(log_t), label).mean(), bounds=(-7, 7), method="bounded",
            options={"xatol": 1e-10},
        )  # fmt: skip
        assert fit_temperature(scale * logits, label) == pytest.approx(np.exp(best.x), rel=1e-5)


def test_where_no_temperature_is_best_it_says_so():
    logits = np.array([[3.0, 0.0], [0.0, 3.0]])
    for label in ([0, 1], [1, 0]):
        with pytest.raises(InputError, match="No temperature"):
            fit_temperature(logits, np.array(label))


def aurc_over_orders(confidence, right):
    """The mean over all orders of equal confidences, by trying them."""
    orders = [o for o in itertools.permutations(range(len(right))) if all(
        confidence[a] >= confidence[b] for a, b in itertools.pairwise(o))]  # fmt: skip
    curves = [np.cumsum([not right[i] for i in o]) / np.arange(1, len(right) + 1) for o in orders]
    return np.mean(curves)


def test_aurc():
    assert aurc(np.array([0.9, 0.8, 0.7]), np.array([True, True, False])) == pytest.approx(1 / 9)
    assert aurc(np.array([0.7, 0.8, 0.9]), np.array([True, True, False])) == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)
    confidence, right = np.array([0.5, 0.9, 0.5, 0.9, 0.5, 0.3]), np.array([1, 0, 0, 1, 1, 0], bool)
    assert aurc(confidence, right) == pytest.approx(aurc_over_orders(confidence, right))
    order = [3, 2, 5, 0, 1, 4]
    assert aurc(confidence[order], right[order]) == aurc(confidence, right)


def test_auroc_and_fpr_are_scikit_learns():
    random = np.random.default_rng(2)
    for digits in (8, 1):  # without and with equal scores
        known, unknown = random.normal(1, 1, 300).round(digits), random.normal(0, 1, 170).round(digits)
        truth, score = np.repeat([1, 0], [300, 170]), np.concatenate([known, unknown])
        assert auroc(known, unknown) == pytest.approx(sk.roc_auc_score(truth, score))
        fpr, tpr, _ = sk.roc_curve(truth, score, drop_intermediate=False)
        assert fpr_at_tpr(known, unknown) == pytest.approx(fpr[np.argmax(tpr >= 0.95)])
    assert auroc(np.array([1.0, 2]), np.array([1.0, 0])) == 3.5 / 4
    assert fpr_at_tpr(np.arange(100.0), np.array([4.0, 5, 6, 7])) == 0.75  # 95 of 100 reach 5


def test_logsumexp():
    assert logsumexp(np.array([[0.0, 0.0], [1000, 0]])) == pytest.approx([np.log(2), 1000])


def test_openworld_auc_over_all_pairs():
    random = np.random.default_rng(3)
    base, new = random.normal(1, 1, 40).round(1), random.normal(0, 1, 25).round(1)
    base_right, new_right = random.random(40) < 0.7, random.random(25) < 0.4
    pairs = [
        x * y * ((a > b) + (a == b) / 2)
        for (a, x), (b, y) in itertools.product(zip(base, base_right, strict=True), zip(new, new_right, strict=True))
    ]
    found = openworld_auc(base, base_right, new, new_right)
    assert found == pytest.approx(np.mean(pairs)) and found <= base_right.mean() * new_right.mean()
    # the share of new images has no part in it
    assert openworld_auc(base, base_right, np.tile(new, 3), np.tile(new_right, 3)) == pytest.approx(found)
    assert openworld_auc(base, np.zeros(40, bool), new, new_right) == 0


def test_mcnemar_is_the_exact_binomial_test():
    for b, c in ((0, 0), (1, 0), (0, 7), (12, 5), (94, 54), (9000, 8700), (26000, 24000)):
        first = np.repeat([True, False, True], [b, c, 50])
        found = mcnemar(first, np.repeat([False, True, True], [b, c, 50]))
        assert found[:2] == (b, c)
        assert found.p == pytest.approx(binomtest(b, b + c).pvalue if b + c else 1.0, rel=1e-9)
    corrected = chi2.sf(
        (abs(9000 - 8700) - 1) ** 2 / 17700, 1
    )  # with many images the corrected chi-squared test agrees
    assert mcnemar(np.repeat([1, 0], [9000, 8700]), np.repeat([0, 1], [9000, 8700])).p == pytest.approx(
        corrected, rel=0.01
    )


def test_paired_bootstrap():
    random = np.random.default_rng(4)
    first, second = random.random(500) < 0.8, random.random(500) < 0.7
    found = paired_bootstrap(first, second)
    gap = first.astype(float) - second
    assert found.difference == pytest.approx(gap.mean()) and found == paired_bootstrap(first, second)
    wide = 1.96 * gap.std() / np.sqrt(500)
    assert (found.low, found.high) == pytest.approx((gap.mean() - wide, gap.mean() + wide), abs=0.004)
    values = random.normal(0.3, 1, 500), random.normal(0, 1, 500)  # as for NLL: every image has a value of its own
    found, gap = paired_bootstrap(*values, draws=4000), values[0] - values[1]
    wide = 1.96 * gap.std() / np.sqrt(500)
    assert (found.low, found.high) == pytest.approx((gap.mean() - wide, gap.mean() + wide), abs=0.01)
    assert paired_bootstrap(first, first) == (0, 0, 0)
