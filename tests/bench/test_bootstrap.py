"""The paired bootstrap interval, on tables whose answer is known."""

from __future__ import annotations

import math
import random
import statistics

import numpy as np
import pytest

from bench.studies.bootstrap import paired_interval

SETS = ("a", "b", "c", "d", "e")


def table(value, sets=SETS, seeds=(1, 2, 3)) -> dict[tuple[str, int], float]:
    return {(name, seed): value(name, seed) for name in sets for seed in seeds}


def test_a_known_difference_and_ties():
    found = paired_interval(table(lambda name, seed: 2.0))
    assert (found.mean, found.low, found.high, found.sets, found.seeds) == (2.0, 2.0, 2.0, 5, (3, 3))
    tied = paired_interval(table(lambda name, seed: 0.0))
    assert (tied.mean, tied.low, tied.high) == (0.0, 0.0, 0.0)


def test_one_seed_resamples_the_sets_alone():
    """Two sets: a draw has the first twice, both, or the second twice, with chances 1/4, 1/2, 1/4."""
    found = paired_interval({("a", 7): 0.0, ("b", 7): 1.0})
    assert (found.mean, found.low, found.high, found.seeds) == (0.5, 0.0, 1.0, (1, 1))


def test_one_set_resamples_its_seeds_alone():
    found = paired_interval({("a", 1): 0.0, ("a", 2): 1.0})
    assert (found.mean, found.low, found.high, found.sets, found.seeds) == (0.5, 0.0, 1.0, 1, (2, 2))


def test_one_cell_has_no_interval():
    found = paired_interval({("a", 1): 3.0})
    assert found.mean == 3.0 and math.isnan(found.low) and math.isnan(found.high)


def test_sets_with_fewer_seeds_weigh_as_much():
    cells = table(lambda name, seed: 1.0, ["a"]) | {("b", 1): 5.0}
    found = paired_interval(cells)
    assert (found.mean, found.low, found.high, found.seeds) == (3.0, 1.0, 5.0, (1, 3))


def test_a_missing_cell_is_left_out_and_not_taken_as_zero():
    cells = table(lambda name, seed: 4.0)
    del cells["c", 2]
    found = paired_interval(cells)
    assert (found.mean, found.low, found.high, found.seeds) == (4.0, 4.0, 4.0, (2, 3))


def test_the_draws_depend_on_their_seed_and_not_on_the_order_of_the_cells():
    rng = random.Random(0)
    cells = table(lambda name, seed: rng.gauss(0, 1))
    turned = dict(reversed(cells.items()))
    assert paired_interval(cells) == paired_interval(turned)
    assert paired_interval(cells).low != paired_interval(cells, seed=1).low


def test_it_is_the_bootstrap_that_the_docstring_tells():
    """The same resampling in plain loops, with its own random numbers."""
    rng = random.Random(1)
    cells = table(lambda name, seed: rng.gauss(SETS.index(name), 1), seeds=(1, 2, 3, 4))
    del cells["a", 4], cells["a", 3]
    by_set = {name: [value for (own, _), value in cells.items() if own == name] for name in SETS}
    means = []
    for _ in range(6000):
        drawn = rng.choices(SETS, k=len(SETS))
        means.append(statistics.fmean(statistics.fmean(rng.choices(by_set[s], k=len(by_set[s]))) for s in drawn))
    found = paired_interval(cells, draws=20_000)
    assert [found.low, found.high] == pytest.approx(np.quantile(means, [0.025, 0.975]), abs=0.08)


@pytest.mark.parametrize(("sets", "seeds", "between", "share"), [(5, 3, 0, 0.95), (5, 3, 1, 0.89), (3, 5, 1, 0.81)])
def test_how_often_it_contains_the_truth(sets, seeds, between, share):
    """Normal effects around 1, of seeds with deviation 1 and of sets with `between`: the shares that the docs state."""
    rng = np.random.default_rng(2)
    hits = 0
    for _ in range(300):
        values = 1 + between * rng.normal(size=(sets, 1)) + rng.normal(size=(sets, seeds))
        found = paired_interval({(str(i), seed): values[i, seed] for i in range(sets) for seed in range(seeds)}, 400)
        hits += found.low <= 1 <= found.high
    assert hits / 300 == pytest.approx(share, abs=0.05)


@pytest.mark.parametrize("cells", [{}, {("a", 1): math.nan}, {("a", 1): 1.0, ("a", 2): math.inf}])
def test_nothing_and_what_is_no_number_are_refused(cells):
    with pytest.raises(ValueError, match="no interval"):
        paired_interval(cells)
