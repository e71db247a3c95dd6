"""Models of label noise: which training labels become wrong, and which class they get.

Each makes all random draws at once, for any rate, and uses more of them at a higher rate: labels that are wrong at a
low rate are wrong in the same way at a higher one. Generators are private; global random states stay untouched.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

import numpy as np
from numpy.random import Generator

from dassl.utils import InputError

Labels = np.ndarray  # [N] integers


def noise_generator(dataset: str, shots: int, split_seed: int, kind: str, seed: int, *more: int) -> Generator:
    """The generator for (dataset, shots, split seed, noise type, noise seed); it does not depend on the rate."""
    parts = (zlib.crc32(dataset.encode()), shots + 1, split_seed + 1, zlib.crc32(kind.encode()), seed, *more)
    return Generator(np.random.PCG64(np.random.SeedSequence(parts)))


def count_of(rate: float, n: int) -> int:
    """floor(rate * n), without errors of binary fractions: 0.3 of 10 is 3."""
    return int(np.floor(rate * n + 1e-9))


def other_labels(labels: Labels, classes: int, generator: Generator) -> Labels:
    """For each label another one, uniform over the other classes."""
    return (labels + generator.integers(1, classes, size=len(labels))) % classes


def _first_of_permutation(labels: Labels, wrong: Labels, rate: float, order: np.ndarray) -> Labels:
    """The first floor(rate N) items of `order` get their wrong label."""
    noisy = labels.copy()
    chosen = order[: count_of(rate, len(labels))]
    noisy[chosen] = wrong[chosen]
    return noisy


def sym_other(labels: Labels, classes: int, rate: float, generator: Generator) -> Labels:
    """Exactly floor(rate N) items of the whole list; the new label is uniform over the other classes."""
    order = generator.permutation(len(labels))
    return _first_of_permutation(labels, other_labels(labels, classes, generator), rate, order)


def sym_all(labels: Labels, classes: int, rate: float, generator: Generator) -> Labels:
    """Exactly floor(rate N) items; the new label is uniform over all classes: about rate (1 - 1/C) turn wrong."""
    order = generator.permutation(len(labels))
    return _first_of_permutation(labels, generator.integers(0, classes, size=len(labels)), rate, order)


def sym_bernoulli(labels: Labels, classes: int, rate: float, generator: Generator) -> Labels:
    """Each item by itself with probability `rate`; the new label is uniform over the other classes."""
    flips = generator.random(len(labels)) < rate
    return np.where(flips, other_labels(labels, classes, generator), labels)


def sym_per_class(labels: Labels, classes: int, rate: float, generator: Generator) -> Labels:
    """Exactly round(rate K_c) items of each class c; the new label is uniform over the other classes."""
    order, wrong = generator.permutation(len(labels)), other_labels(labels, classes, generator)
    noisy = labels.copy()
    for c in range(classes):
        own = order[labels[order] == c]
        chosen = own[: int(np.floor(rate * len(own) + 0.5))]
        noisy[chosen] = wrong[chosen]
    return noisy


def pair_next(labels: Labels, classes: int, rate: float, generator: Generator) -> Labels:
    """Exactly floor(rate N) items; label t becomes t + 1, the last label becomes the first."""
    return _first_of_permutation(labels, (labels + 1) % classes, rate, generator.permutation(len(labels)))


def asym_semantic(
    labels: Labels, classes: int, rate: float, generator: Generator, similarity: Callable[[], np.ndarray]
) -> Labels:
    """Exactly floor(rate N) items; label t becomes the most similar other class by `similarity()` [C, C]."""
    likeness = similarity().astype(float).copy()
    np.fill_diagonal(likeness, -np.inf)
    wrong = likeness.argmax(axis=1)[labels]
    return _first_of_permutation(labels, wrong, rate, generator.permutation(len(labels)))


def idn(
    labels: Labels,
    classes: int,
    rate: float,
    generator: Generator,
    features: Callable[[], np.ndarray],
    class_generator: Callable[[int], Generator],
    std: float = 0.1,
    temperature: float = 1.0,
) -> Labels:
    """Instance-dependent noise (Xia et al., NeurIPS 2020): whether and how a label turns wrong depends on the image.

    features(): x [N, m]. Item i is flipped with probability q_i from N(rate, std^2) cut to [0, 1]; the wrong label is
    drawn from the softmax of x_i W_t / temperature over the other classes, W_t [m, C] standard normal for each true
    class t, from `class_generator(t)`. The realised rate is close to the mean of q.
    """
    n = len(labels)
    chance, flip, which = generator.random(n), generator.random(n), generator.random(n)
    if rate <= 0:
        return labels.copy()
    low, high = (0 - rate) / std, (1 - rate) / std
    from scipy.stats import truncnorm  # imported here: half a second that runs without this noise need not pay

    q = truncnorm.ppf(chance, low, high, loc=rate, scale=std)
    x, noisy = features(), labels.copy()
    for t in np.unique(labels):
        own = np.flatnonzero(labels == t)
        weights = class_generator(int(t)).standard_normal((x.shape[1], classes), dtype=np.float32)
        scores = (x[own] @ weights).astype(np.float64) / temperature
        scores[:, t] = -np.inf
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        cumulated = np.cumsum(scores / scores.sum(axis=1, keepdims=True), axis=1)
        wrong = np.minimum((cumulated < which[own, None]).sum(axis=1), classes - 1)
        noisy[own] = np.where(flip[own] < q[own], wrong, labels[own])
    return noisy


LABEL_MODELS: dict[str, Callable] = {
    "sym_other": sym_other,
    "sym_all": sym_all,
    "sym_bernoulli": sym_bernoulli,
    "sym_per_class": sym_per_class,
    "pair_next": pair_next,
    "asym_semantic": asym_semantic,
    "idn": idn,
}


def swap_plan(
    classes: int, shots: int, rate: float, pools: list[int], generator: Generator, pair: bool
) -> list[list[tuple[int, int]]]:
    """For each observed class its K images as (true class, position in that class's pool), the swapped ones first.

    `fp_swap_sym` and `fp_swap_pair`: the label stays, k = round(rate K) of the class's images are taken from other
    classes. pools: training images of each class. The first half of a pool serves its own class, the second half the
    others. Without repetition; `pair`: all k from the class after it. Raises InputError where a pool is too small.
    """
    own_half = [(n + 1) // 2 for n in pools]
    wrong = int(np.floor(rate * shots + 0.5))
    own = [generator.permutation(half).tolist() for half in own_half]
    foreign = [(half + generator.permutation(n - half)).tolist() for half, n in zip(own_half, pools, strict=True)]
    everyone = [(c, p) for c in range(classes) for p in foreign[c]]
    order = generator.permutation(len(everyone)).tolist()
    used: set[tuple[int, int]] = set()
    plan = []
    for c in range(classes):
        candidates = [((c + 1) % classes, p) for p in foreign[(c + 1) % classes]] if pair else (
            everyone[i] for i in order if everyone[i][0] != c
        )  # fmt: skip
        taken = [item for item in candidates if item not in used][:wrong]
        kept = own[c][: shots - wrong]
        if len(taken) < wrong or not kept:
            raise InputError(
                f"Noise that swaps images needs more of them: class {c} asks for {wrong} images of other classes, "
                f"{len(taken)} are free, and has {len(own[c])} of its own; lower the rate or the number of shots."
            )
        used.update(taken)
        plan.append(taken + [(c, p) for p in kept])
    return plan


def repeating_swap_plan(
    classes: int, shots: int, rate: float, pools: list[int], generator: Generator
) -> list[list[tuple[int, int]]]:
    """`fp_swap_repeat`: `swap_plan` as PTNL's released code draws, for comparison. Fewer than K images may be left.

    Images of other classes are drawn with repetition, from those that no earlier class took; a class's own ones where
    its half of the pool is smaller than K. An image drawn twice for a class is in the training list once. Raises
    InputError where nothing is there to draw.
    """
    own_half = [(n + 1) // 2 for n in pools]
    wrong = int(np.floor(rate * shots + 0.5))
    used: set[tuple[int, int]] = set()
    plan = []
    for c in range(classes):
        own = generator.choice(own_half[c], shots, replace=own_half[c] < shots).tolist() if own_half[c] else []
        free = [(t, p) for t in range(classes) if t != c for p in range(own_half[t], pools[t]) if (t, p) not in used]
        if not own[wrong:] or (wrong and not free):
            raise InputError(
                f"Noise that swaps images needs more of them: class {c} has {len(own)} of its own to draw and "
                f"{len(free)} of other classes; lower the rate or the number of shots."
            )
        taken = [free[i] for i in generator.integers(len(free), size=wrong)] if wrong else []
        used.update(taken)
        plan.append(list(dict.fromkeys([*taken, *((c, p) for p in own[wrong:])])))
    return plan
