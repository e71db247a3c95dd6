"""Each noise model does what it says, exactly where it says exactly."""

from __future__ import annotations

import random
from functools import partial

import numpy as np
import pytest
import torch

from dassl.utils import InputError
from datasets.noise.models import LABEL_MODELS, count_of, noise_generator, repeating_swap_plan, swap_plan

C = 7
LABELS = np.repeat(np.arange(C), 16)
RATES = (0.0, 0.125, 0.25, 0.5, 0.65, 0.8)


def features() -> np.ndarray:
    return np.random.default_rng(5).standard_normal((len(LABELS), 30)).astype(np.float32)


def similarity() -> np.ndarray:
    return np.random.default_rng(6).random((C, C))


EXTRA = {
    "idn": {"features": features, "class_generator": partial(noise_generator, "x", 16, 1, "idn", 1)},
    "asym_semantic": {"similarity": similarity},
}


def noisy(kind: str, rate: float, seed: int = 1) -> np.ndarray:
    return LABEL_MODELS[kind](LABELS, C, rate, noise_generator("Pets", 16, 1, kind, seed), **EXTRA.get(kind, {}))


@pytest.mark.parametrize("kind", LABEL_MODELS)
def test_labels_stay_classes_and_the_input_as_it_was(kind):
    before = LABELS.copy()
    for rate in RATES:
        found = noisy(kind, rate)
        assert found.shape == LABELS.shape and found.min() >= 0 and found.max() < C
    assert (before == LABELS).all() and (noisy(kind, 0.0) == LABELS).all()


@pytest.mark.parametrize("kind", ["sym_other", "pair_next", "asym_semantic"])
@pytest.mark.parametrize("rate", RATES)
def test_exact_counts(kind, rate):
    assert (noisy(kind, rate) != LABELS).sum() == int(rate * len(LABELS) + 1e-9)


def test_counts_survive_binary_fractions():
    assert [count_of(r, 10) for r in (0.1, 0.3, 0.7, 0.29)] == [1, 3, 7, 2]
    assert count_of(0.29, 100) == 29 and int(0.29 * 100) == 28  # what a plain cast would give


@pytest.mark.parametrize("kind", LABEL_MODELS)
def test_what_is_wrong_at_a_low_rate_is_as_wrong_at_a_higher_one(kind):
    for low, high in zip(RATES, RATES[1:], strict=False):
        a, b = noisy(kind, low), noisy(kind, high)
        flipped = a != LABELS
        assert (b[flipped] == a[flipped]).all(), (low, high)


@pytest.mark.parametrize("kind", ["sym_other", "sym_bernoulli", "sym_per_class"])
def test_wrong_labels_are_uniform_over_the_others(kind):
    labels = np.repeat(np.arange(C), 3000)
    found = LABEL_MODELS[kind](labels, C, 0.6, noise_generator("Pets", 3000, 1, kind, 1))
    for t in range(C):
        wrong = np.bincount(found[(labels == t) & (found != t)], minlength=C) / (0.6 * 3000)
        assert wrong[t] == 0 and np.abs(np.delete(wrong, t) - 1 / (C - 1)).max() < 0.04


def test_sym_all_may_keep_the_true_label():
    labels = np.repeat(np.arange(C), 3000)
    found = LABEL_MODELS["sym_all"](labels, C, 0.6, noise_generator("Pets", 3000, 1, "sym_all", 1))
    assert (found != labels).mean() == pytest.approx(0.6 * (1 - 1 / C), abs=0.01)


def test_sym_per_class_is_exact_in_each_class():
    for rate, count in ((0.125, 2), (0.5, 8), (0.65, 10), (0.8, 13)):
        wrong = noisy("sym_per_class", rate) != LABELS
        assert [int(wrong[t == LABELS].sum()) for t in range(C)] == [count] * C


def test_pair_is_the_next_class():
    found = noisy("pair_next", 0.5)
    flipped = found != LABELS
    assert (found[flipped] == (LABELS[flipped] + 1) % C).all()


def test_semantic_is_the_most_similar_other_class():
    found, alike = noisy("asym_semantic", 0.5), similarity()
    np.fill_diagonal(alike, -1)
    flipped = found != LABELS
    assert (found[flipped] == alike.argmax(1)[LABELS[flipped]]).all()


@pytest.mark.parametrize(("rate", "mean"), [(0.2, 0.205), (0.6, 0.599), (0.8, 0.794)])
def test_instance_noise_has_the_realised_rate_of_its_truncated_normal(rate, mean):
    labels = np.repeat(np.arange(C), 600)
    x = np.random.default_rng(0).standard_normal((len(labels), 10)).astype(np.float32)
    extra = {"features": lambda: x, "class_generator": partial(noise_generator, "x", 1, 1, "idn", 1)}
    found = LABEL_MODELS["idn"](labels, C, rate, noise_generator("x", 1, 1, "idn", 1), **extra)
    assert abs((found != labels).mean() - mean) < 3 * np.sqrt(0.25 / len(labels))


def test_instance_noise_depends_on_image_and_class():
    """Like images of one class turn into like classes; the same images under another class into others."""
    x = np.repeat(np.random.default_rng(1).standard_normal((2, 40)).astype(np.float32), 400, axis=0)
    extra = {"features": lambda: x, "class_generator": partial(noise_generator, "x", 1, 1, "idn", 1)}
    shares = []
    for t in (0, 1):
        labels = np.full(800, t)
        found = LABEL_MODELS["idn"](labels, C, 0.8, noise_generator("x", 1, 1, "idn", 1), **extra)
        for half in (slice(0, 400), slice(400, 800)):
            wrong = found[half][found[half] != t]
            shares.append(np.bincount(wrong, minlength=C) / len(wrong))
    for i in range(4):
        assert shares[i].max() > 0.5  # one wrong class dominates for one image
    assert np.abs(shares[0] - shares[1]).max() > 0.2 and np.abs(shares[0] - shares[2]).max() > 0.2


def test_every_part_of_the_key_changes_the_stream():
    def draw(*parts) -> list[int]:
        return noise_generator(*parts).integers(0, 10**6, 8).tolist()

    keys = [("A", 16, 1, "t", 1), ("B", 16, 1, "t", 1), ("A", 8, 1, "t", 1), ("A", 16, 2, "t", 1), ("A", 16, 1, "u", 1),
            ("A", 16, 1, "t", 2), ("A", -1, 1, "t", 1)]  # fmt: skip
    assert len({tuple(draw(*key)) for key in keys}) == len(keys)
    assert draw(*keys[0]) == draw(*keys[0])
    assert draw(*keys[0])[:3] == [645042, 291060, 637362]  # the same on every machine


def test_global_generators_are_left_alone():
    random.seed(0), np.random.seed(0), torch.manual_seed(0)  # noqa: NPY002
    before = random.random(), np.random.random(), torch.rand(1)  # noqa: NPY002
    random.seed(0), np.random.seed(0), torch.manual_seed(0)  # noqa: NPY002
    for kind in LABEL_MODELS:
        noisy(kind, 0.5)
    assert before == (random.random(), np.random.random(), torch.rand(1))  # noqa: NPY002


@pytest.mark.parametrize("pair", [False, True])
def test_swapped_images(pair):
    pools = [40, 41, 50, 40]
    plan = swap_plan(4, 16, 0.25, pools, noise_generator("A", 16, 1, "fp", 1), pair)
    everything = [item for row in plan for item in row]
    assert len(set(everything)) == len(everything) == 64  # no image twice
    for observed, row in enumerate(plan):
        wrong = [(c, p) for c, p in row if c != observed]
        assert len(row) == 16 and len(wrong) == 4
        assert all(p >= (pools[c] + 1) // 2 for c, p in wrong)  # from the half that serves the others
        assert all(p < (pools[observed] + 1) // 2 for c, p in row if c == observed)
        assert not pair or {c for c, _ in wrong} == {(observed + 1) % 4}


def test_images_swapped_with_repetition():
    """As PTNL's code draws them: 155 to 160 of 160 images are left, since what was drawn twice for a class counts once;
    no image goes to two classes."""
    pools = [60] * 10
    plans = [repeating_swap_plan(10, 16, 0.5, pools, noise_generator("A", 16, 1, "fp", s)) for s in range(40)]
    left = [sum(map(len, plan)) for plan in plans]
    assert 150 <= min(left) < 160 and max(left) <= 160 and len(set(left)) > 3
    for plan in plans:
        for observed, row in enumerate(plan):
            assert len(set(row)) == len(row) and sum(c == observed for c, _ in row) == 8
            assert all((p < 30) == (c == observed) for c, p in row)
        everything = [item for row in plan for item in row]
        assert len(set(everything)) == len(everything)
    few = repeating_swap_plan(2, 16, 0.5, [10, 60], noise_generator("A", 16, 1, "fp", 1))
    assert 0 < sum(c == 0 for c, _ in few[0]) <= 5  # eight draws out of five
    with pytest.raises(InputError, match="class 0 has 16 of its own to draw and 0 of other classes"):
        repeating_swap_plan(2, 16, 0.5, [60, 1], noise_generator("A", 16, 1, "fp", 1))


def test_swaps_need_enough_images():
    with pytest.raises(InputError, match="class 0 asks for 8 images"):
        swap_plan(2, 16, 0.5, [10, 10], noise_generator("A", 16, 1, "fp", 1), False)
