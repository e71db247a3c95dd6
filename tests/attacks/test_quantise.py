"""8 bits without leaving the ball, and what truncation does."""

from __future__ import annotations

import pytest
import torch

from attacks import quantise

LEVELS = torch.arange(256, dtype=torch.uint8)


def attacked(eps: float, offset: float) -> torch.Tensor:
    """Every grey level moved by `offset` (in levels) and clipped, as an attack in fp32 does it."""
    x = LEVELS.float() / 255
    return (x + torch.tensor(offset / 255).clamp(-eps / 255, eps / 255)).clamp(0, 1)


@pytest.mark.parametrize("eps", [0.5, 1.0, 1.5, 2.0, 4.0, 8.0])
def test_round_project_stays_in_the_integer_ball(eps):
    for offset in torch.linspace(-eps, eps, 41).tolist():
        q = quantise(attacked(eps, offset), LEVELS, eps)
        assert q.dtype == torch.uint8
        moved = (q.int() - LEVELS.int()).abs()
        assert moved.max() <= int(eps)
        inside = (eps < LEVELS) & (255 - eps > LEVELS)
        if eps == int(eps) and abs(offset) == eps:
            assert (moved[inside] == eps).all()  # the whole of an allowed step survives


def test_an_untouched_picture_is_lossless():
    for rule in ("round_project", "trunc"):
        assert torch.equal(quantise(LEVELS.float() / 255, LEVELS, 4.0, rule), LEVELS)


def test_without_a_ball_it_only_rounds():
    x = torch.tensor([0.0, 0.4, 1.0])
    assert quantise(x, torch.zeros(3, dtype=torch.uint8), None).tolist() == [0, 102, 255]


def test_truncation_is_biased_and_leaves_the_ball():
    """A positive fraction is lost, a negative one enlarged; fp32's x - eps may fall below an integer."""
    middle = (LEVELS > 8) & (LEVELS < 247)
    up, down = (quantise(attacked(1.0, s * 0.6), LEVELS, 1.0, "trunc").int() - LEVELS.int() for s in (1, -1))
    assert (up[middle] == 0).all() and (down[middle] == -1).all()
    rounded = [quantise(attacked(1.0, s * 0.6), LEVELS, 1.0).int() - LEVELS.int() for s in (1, -1)]
    assert (rounded[0][middle] == 1).all() and (rounded[1][middle] == -1).all()
    for eps in (1.0, 4.0):
        lowest = quantise(attacked(eps, -eps), LEVELS, eps, "trunc").int() - LEVELS.int()
        outside = (lowest < -eps)[eps <= LEVELS]
        assert 0 < outside.sum() < 30
        assert (lowest >= -eps - 1).all()
        kept = quantise(attacked(eps, -eps), LEVELS, eps).int() - LEVELS.int()
        assert (kept >= -eps).all()


def test_floats_are_not_quantised():
    with pytest.raises(ValueError, match="unknown quantisation"):
        quantise(torch.zeros(1), torch.zeros(1, dtype=torch.uint8), 1.0, "none")
