"""The regulariser of SAR against its equations, written out element by element."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from trainers.parts.similarity_alignment import SimilarityAlignment, similarity_distribution


def embeddings(n: int = 9, d: int = 6, seed: int = 0, grad: bool = False) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(n, d, generator=generator), dim=-1).requires_grad_(grad)


def by_hand(e: torch.Tensor, learned: torch.Tensor, sets: torch.Tensor, tau: float) -> float:
    """Eq. 4 and 5 with loops over rows and entries."""
    total = 0.0
    for i, chosen in enumerate(sets.tolist()):
        p = [math.exp(float(e[i] @ e[j]) / tau) for j in chosen]
        q = [math.exp(float(learned[i] @ learned[j]) / tau) for j in chosen]
        p, q = [x / sum(p) for x in p], [x / sum(q) for x in q]
        total += sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    return total / len(e)


def test_loss_is_equation_4_and_5():
    e, learned = embeddings(), embeddings(seed=1)
    sar = SimilarityAlignment(e @ e.T, tau=0.5, sample_size=4, seed=3)
    expected = by_hand(e, learned, sar.index_sets(2, 7), 0.5)
    assert sar(learned, 2, 7).item() == pytest.approx(expected, rel=1e-5)


def test_without_sampling_a_row_is_compared_over_all_others():
    e, learned = embeddings(), embeddings(seed=1)
    sar = SimilarityAlignment(e @ e.T, tau=0.5, sample_size=0, seed=3)
    p, q = similarity_distribution(e, 0.5), similarity_distribution(learned, 0.5)
    off = ~torch.eye(len(e), dtype=torch.bool)
    expected = (p[off] * (p[off] / q[off]).log()).sum() / len(e)
    torch.testing.assert_close(sar(learned, 0, 0), expected)
    assert torch.allclose(p.sum(1), torch.ones(len(e))) and p.diagonal().abs().max() == 0


def test_other_direction():
    e, learned = embeddings(), embeddings(seed=1)
    there = SimilarityAlignment(e @ e.T, 0.5, 4, 3)
    back = SimilarityAlignment(e @ e.T, 0.5, 4, 3, target_first=False)
    assert back(learned, 0, 0).item() == pytest.approx(by_hand(learned, e, there.index_sets(0, 0), 0.5), rel=1e-5)


def test_zero_where_the_learned_embeddings_are_the_targets():
    e = embeddings()
    assert SimilarityAlignment(e @ e.T, 0.01, 4, 3)(e, 0, 0).abs() < 1e-6


def test_index_sets():
    """No row holds itself or an index twice; they change from step to step and repeat with the seed."""
    e = embeddings(20)
    sar = SimilarityAlignment(e @ e.T, 0.01, 7, seed=3)
    seen = torch.zeros(20, 20)
    for step in range(200):
        sets = sar.index_sets(0, step)
        assert sets.shape == (20, 7) and all(len(set(row)) == 7 for row in sets.tolist())
        assert (sets != torch.arange(20)[:, None]).all()
        seen.scatter_add_(1, sets, torch.ones(20, 7))
    others = seen[~torch.eye(20, dtype=torch.bool)] / 200
    assert (others - 7 / 19).abs().max() < 0.15  # uniform
    assert not torch.equal(sar.index_sets(0, 0), sar.index_sets(0, 1))
    assert not torch.equal(sar.index_sets(0, 0), sar.index_sets(1, 0))
    again, other = (SimilarityAlignment(e @ e.T, 0.01, 7, seed) for seed in (3, 4))
    assert torch.equal(again.index_sets(5, 6), sar.index_sets(5, 6))
    assert not torch.equal(other.index_sets(5, 6), sar.index_sets(5, 6))


def test_index_sets_leave_the_global_generator_alone():
    sar = SimilarityAlignment(torch.eye(5), 0.01, 2, 1)
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    sar.index_sets(0, 0)
    assert torch.equal(torch.rand(3), expected)


def test_fewer_classes_than_samples():
    assert SimilarityAlignment(torch.eye(10), 0.01, 64, 1).index_sets(0, 0).shape == (10, 9)


def test_gradient_flows_through_the_learned_side_alone():
    e, learned = embeddings(grad=True), embeddings(seed=1, grad=True)
    sar = SimilarityAlignment((e @ e.T).detach(), 0.1, 4, 3)
    sar(learned, 0, 0).backward()
    assert e.grad is None and learned.grad.abs().max() > 0
