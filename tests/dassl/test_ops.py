"""dassl.modeling.ops.utils, dassl.optim.radam, the policies of dassl.data.transforms: what upstream means by them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from dassl.data import transforms
from dassl.modeling.ops import utils
from dassl.optim.radam import RAdam


def test_sharpening_is_a_power():
    p = torch.tensor([[0.5, 0.3, 0.2], [1.0, 0.0, 0.0]])
    assert torch.allclose(utils.sharpen_prob(p), torch.tensor([[0.25, 0.09, 0.04], [0.38, 0, 0]]) / 0.38)
    assert torch.allclose(utils.sharpen_prob(p, 1), p)


def test_one_hot_labels_are_floats_on_the_cpu():
    found = utils.create_onehot(torch.tensor([2, 0], dtype=torch.int32), 3)
    assert torch.equal(found, torch.tensor([[0.0, 0, 1], [1, 0, 0]])) and found.dtype is torch.float32


def test_ramps_and_order():
    assert [utils.linear_rampup(n, 4) for n in (-1, 0, 1, 4, 9)] == [0, 0, 0.25, 1, 1]
    assert utils.sigmoid_rampup(0, 4) == pytest.approx(math.exp(-5)) and utils.sigmoid_rampup(9, 4) == 1
    assert utils.sigmoid_rampup(2, 4) == pytest.approx(math.exp(-1.25))
    data, label = utils.reverse_index(torch.tensor([[1], [2]]), torch.tensor([3, 4]))
    assert data.tolist() == [[2], [1]] and label.tolist() == [4, 3]


def test_a_moving_average_of_a_model():
    slow, fast = nn.Linear(2, 1), nn.Linear(2, 1)
    expected = [0.75 * a + 0.25 * b for a, b in zip(slow.parameters(), fast.parameters(), strict=True)]
    utils.ema_model_update(fast, slow, 0.75)
    assert all(torch.allclose(a, b) for a, b in zip(slow.parameters(), expected, strict=True))


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_radam_follows_its_paper(decay):
    """Algorithm 2 of Liu et al. with weight decay apart from the gradient, in plain numbers."""
    lr, b1, b2, eps = 0.01, 0.9, 0.99, 1e-8
    w = torch.tensor([1.0, -2.0], dtype=torch.float64, requires_grad=True)
    optimizer = RAdam([w], lr, (b1, b2), eps, decay)
    x, m, v = w.detach().numpy().copy(), np.zeros(2), np.zeros(2)
    rectified = 0
    for t in range(1, 12):
        g = np.array([0.3 * t, -1.0 / t]) + x
        optimizer.zero_grad()
        (w.square().sum() / 2 + (w * torch.tensor([0.3 * t, -1.0 / t])).sum()).backward()
        optimizer.step()
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        most = 2 / (1 - b2) - 1
        rho = most - 2 * t * b2**t / (1 - b2**t)
        step = m / (1 - b1**t)
        if rho > 5:
            rectified += 1
            r = math.sqrt((rho - 4) * (rho - 2) * most / ((most - 4) * (most - 2) * rho))
            step = r * step * math.sqrt(1 - b2**t) / (np.sqrt(v) + eps)
        x = x - lr * decay * x - lr * step
        np.testing.assert_allclose(w.detach().numpy(), x, rtol=1e-6)
    assert 0 < rectified < 11
    with pytest.raises(ValueError, match="degenerated_to_sgd"):
        RAdam([w], degenerated_to_sgd=False)


@pytest.mark.parametrize("name", ["ImageNetPolicy", "CIFAR10Policy", "SVHNPolicy", "RandAugment"])
def test_policies_change_an_image(name):
    torch.manual_seed(0)
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8))
    change = getattr(transforms, name)()
    done = [change(image) for _ in range(8)]
    assert all(each.size == image.size for each in done)
    assert any(np.any(np.asarray(each) != np.asarray(image)) for each in done)
