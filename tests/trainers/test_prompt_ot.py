"""The transport plan: its marginals, its optimality, its numbers where a plain kernel gives zeros."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment, linprog

from clipkit import InputError
from trainers.label_noise.prompt_ot import class_plan, ot_decision, prompt_ot, transport_plan


def predictions(n: int, c: int, seed: int = 0, sharp: float = 4.0) -> torch.Tensor:
    """[n, c]: uneven classes, mostly confident."""
    generator = torch.Generator().manual_seed(seed)
    return (sharp * torch.randn(n, c, generator=generator, dtype=torch.float64) + torch.arange(c)).softmax(1)


@pytest.mark.parametrize("cost", ["prob", "logp"])
@pytest.mark.parametrize("reg", [0.1, 0.01])
def test_marginals(cost, reg):
    plan = class_plan(predictions(60, 6), reg, cost)
    assert plan.dtype == torch.float64 and plan.min() >= 0
    torch.testing.assert_close(plan.sum(1), torch.full((60,), 1 / 60).double(), atol=1e-9, rtol=0)
    torch.testing.assert_close(plan.sum(0), torch.full((6,), 1 / 6).double(), atol=1e-5, rtol=0)


def test_the_plan_is_the_regularised_optimum():
    """G_ic = u_i K_ic v_c with the right marginals is the one optimum: here from the plain scaling, where it works."""
    cost, reg = -predictions(12, 4), 0.2
    kernel = (-cost / reg).exp()
    v = torch.ones(4).double()
    for _ in range(5000):
        u = (1 / 12) / (kernel @ v)
        v = (1 / 4) / (kernel.t() @ u)
    torch.testing.assert_close(transport_plan(cost, reg), u[:, None] * kernel * v, atol=1e-7, rtol=1e-4)


def test_no_underflow_at_a_small_regularisation():
    prob = predictions(60, 6, sharp=1.0)
    kernel = (prob.log() / 0.001).exp()
    assert (kernel.sum(1) == 0).any()  # what a plain kernel does to these costs
    plan = class_plan(prob, 0.001, "logp")
    assert plan.isfinite().all() and (plan.max(1).values > 0.5 / 60).all()
    assert plan.argmax(1).bincount(minlength=6).tolist() == [10] * 6
    assert (plan.sum(0) - 1 / 6).abs().max() < 1e-3


def test_probabilities_that_are_zero():
    prob = torch.eye(3).repeat(4, 1)
    pseudo_label, row_max = prompt_ot(prob, 0.01, "logp")
    assert pseudo_label.tolist() == [0, 1, 2] * 4
    torch.testing.assert_close(row_max, torch.full((12,), 1 / 12).double())


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("cost", ["prob", "logp"])
def test_pseudo_labels_are_those_of_the_best_assignment(cost, seed):
    """With little regularisation: each class takes N / C items, at the least cost in sum."""
    n, c = 15, 5
    prob = predictions(n, c, seed)
    matrix = -prob if cost == "prob" else -prob.log()
    rows, columns = linear_sum_assignment(matrix.repeat_interleave(n // c, dim=1))
    best = torch.tensor(columns)[np.argsort(rows)] // (n // c)
    pseudo_label, _ = prompt_ot(prob, 0.002, cost)
    assert pseudo_label.tolist() == best.tolist()
    assert pseudo_label.tolist() != prob.argmax(1).tolist()  # the balance has a say


def test_brute_force_on_a_small_case():
    prob = predictions(6, 3, seed=5)
    balanced = [a for a in itertools.product(range(3), repeat=6) if all(a.count(k) == 2 for k in range(3))]
    best = max(balanced, key=lambda a: sum(prob[i, k].item() for i, k in enumerate(a)))
    assert prompt_ot(prob, 0.002)[0].tolist() == list(best)


@pytest.mark.parametrize("mass", [0.3, 0.75])
def test_part_of_the_mass_is_the_linear_programme_with_rows_at_most_1_over_n(mass):
    n, c = 10, 3
    prob = predictions(n, c, seed=2)
    rows, columns = np.kron(np.eye(n), np.ones(c)), np.kron(np.ones(n), np.eye(c))
    found = linprog(-prob.flatten().numpy(), A_ub=rows, b_ub=np.full(n, 1 / n), A_eq=columns, b_eq=np.full(c, mass / c))
    plan = class_plan(prob, 0.001, budget=mass)
    assert (plan.sum(1) <= 1 / n + 1e-9).all()
    torch.testing.assert_close(plan.sum(0), torch.full((c,), mass / c).double(), atol=1e-5, rtol=0)
    assert -(plan * prob).sum().item() == pytest.approx(found.fun, abs=1e-3)


def test_decision():
    """Six items of two classes; items 2 and 5 are labelled against the plan, item 4 is the one least sure."""
    prob = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.85, 0.15], [0.1, 0.9], [0.45, 0.55], [0.2, 0.8]])
    label = torch.tensor([0, 0, 1, 1, 1, 0])
    whole = ot_decision(prob, label, 0.05)
    assert whole.clean.tolist() == [True, True, False, True, True, False]
    plan = class_plan(prob, 0.05)
    torch.testing.assert_close(whole.score, 6 * plan[torch.arange(6), label])
    assert whole.score.min() >= 0 and whole.score.max() <= 1 + 1e-9
    part = ot_decision(prob, label, 0.05, budget=5 / 6)
    assert part.clean.tolist() == [True, True, False, True, False, False]
    none = ot_decision(prob, label, 0.05, budget=0.1)  # a budget of less than one item
    assert not none.clean.any()


def test_bad_settings_are_one_sentence():
    prob = predictions(4, 2)
    for arguments, says in (((0.0,), "above 0"), ((0.1, "cosine"), "prob, logp"), ((0.1, "prob", 1.5), "at most 1")):
        with pytest.raises(InputError, match=says):
            prompt_ot(prob, *arguments)
