"""Our PGD beside torchattacks', and its attacks through the adapter: budgets, bounds, random states."""

from __future__ import annotations

import random
import sys

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from toys import linear, network, pictures, predicted

from attacks import AttackSettings, evaluation, fgsm, pgd
from attacks.adapter import torchattack
from attacks.losses import cross_entropy, margin
from attacks.pgd import start
from dassl.utils import InputError

torchattacks = pytest.importorskip("torchattacks")
EPS = 8 / 255


def batch(model=None, count: int = 12):
    x = pictures(count).float() / 255
    return x, predicted(model or network(), x)


def settings(**kwargs) -> AttackSettings:
    return AttackSettings(**{"eps": 8.0, "alpha": 2.0, "steps": 5, "queries": 50, "targets": 3, **kwargs})


def attack(name: str, model, x, label, **kwargs):
    return torchattack(name, model, x, label, 5, settings(**kwargs), seed=7)


class Parametrised(torch.nn.Module):
    """The package asks a model where it is."""

    def __init__(self, model) -> None:
        super().__init__()
        self.model, self.place = model, torch.nn.Parameter(torch.zeros(()))

    def forward(self, x):
        return self.model(x)


@pytest.mark.parametrize("steps", [1, 7, 20])
def test_pgd_is_theirs_from_the_same_start(steps):
    model = network(scale=4.0)
    x, label = batch(model)
    x = start(x, EPS, range(12), 0)  # a start within no grid of grey levels
    theirs = torchattacks.PGD(Parametrised(model), eps=EPS, alpha=EPS / 4, steps=steps, random_start=False)(x, label)
    ours = pgd(evaluation(model, label), x, EPS, EPS / 4, steps, range(12), random_start=False, keep="last").x
    assert (ours - theirs).abs().max() <= 1e-6


def test_pgd_is_theirs_from_a_random_start(monkeypatch):
    model = network(scale=4.0)
    x, label = batch(model)
    given = start(x, EPS, range(12), 0)
    # theirs draws x + U(-eps, eps): it is handed the noise that leads to our start
    monkeypatch.setattr(torch.Tensor, "uniform_", lambda self, *bounds: self.copy_(given - x))
    theirs = torchattacks.PGD(Parametrised(model), eps=EPS, alpha=EPS / 4, steps=9, random_start=True)(x, label)
    monkeypatch.undo()
    ours = pgd(evaluation(model, label), x, EPS, EPS / 4, 9, range(12), keep="last").x
    assert (ours - theirs).abs().max() <= 1e-6
    assert (ours - x).abs().max() > EPS / 2


def test_pgd_is_theirs_on_a_clip(tiny):
    from attacks import Surrogate
    from clipkit import load_clip

    model = Surrogate(load_clip("", str(tiny.backbone)), ["circle", "star", "house"])
    x = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    label = predicted(model, x)
    theirs = torchattacks.PGD(Parametrised(model), eps=EPS, alpha=EPS / 4, steps=3, random_start=False)(x, label)

    def usual(logits, label):  # the same loss in the same rounding: a sign of a gradient near 0 must not differ
        return F.cross_entropy(logits, label, reduction="none")

    ours = pgd(evaluation(model, label, usual), x, EPS, EPS / 4, 3, range(4), random_start=False, keep="last").x
    assert (ours - theirs).abs().max() <= 1e-6
    stable = pgd(evaluation(model, label), x, EPS, EPS / 4, 3, range(4), random_start=False, keep="last").x
    assert ((stable - theirs).abs() > 1e-6).float().mean() < 0.01


def test_fgsm_is_theirs():
    model = network(scale=4.0)
    x, label = batch(model)
    theirs = torchattacks.FGSM(Parametrised(model), eps=EPS)(x, label)
    assert (fgsm(evaluation(model, label), x, EPS).x - theirs).abs().max() <= 1e-6


@pytest.mark.parametrize("name", ["apgd-ce", "apgd-dlr", "apgd-dlr-t", "fab-t", "square", "di", "cw-l2"])
def test_random_states_survive_and_results_repeat(name):
    model = network(scale=12.0)  # they give the clean picture back where they fail, which here they do not
    x, label = batch(model)
    states = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    first = attack(name, model, x, label)
    assert random.getstate() == states[0] and torch.equal(torch.get_rng_state(), states[2])
    assert (np.random.get_state()[1] == states[1]).all()  # noqa: NPY002
    torch.manual_seed(99)
    assert torch.equal(attack(name, model, x, label), first)
    assert first.shape == x.shape and first.min() >= 0 and first.max() <= 1 and not first.requires_grad
    if name not in ("cw-l2", "fab-t"):
        assert (first - x).abs().max() <= EPS + 1e-6
    assert not torch.equal(first, x)


def test_another_seed_is_another_draw():
    model = network(scale=12.0)
    x, label = batch(model)
    two = [torchattack("square", model, x, label, 5, settings(), seed) for seed in (1, 2)]
    assert not torch.equal(*two)


@pytest.mark.parametrize("steps", [20, 100])
def test_apgd_is_not_weaker_than_pgd(steps):
    model = network(scale=6.0)
    x, label = batch(model)
    ours = pgd(evaluation(model, label), x, EPS, EPS / 4, steps, range(12)).x
    theirs = attack("apgd-ce", model, x, label, steps=steps)
    gain = cross_entropy(model(theirs), label) - cross_entropy(model(ours), label)
    assert gain.mean() >= -0.01


@pytest.mark.parametrize(("name", "most"), [("apgd-ce", 1), ("apgd-dlr", 1), ("apgd-dlr-t", 3)])
def test_budgets_are_ours_not_the_defaults(name, most):
    """So many steps, and so many targets: forward passes are counted."""
    x, label = batch(linear(5, scale=20.0))
    counts = []
    for steps in (10, 40):
        calls = []

        def model(x, calls=calls):
            calls.append(len(x))
            return linear(5, scale=20.0)(x)

        torchattack(name, model, x, label, 5, settings(eps=0.01, steps=steps), seed=1)
        counts.append(len(calls))
    assert 0.8 * 30 * most <= counts[1] - counts[0] <= 1.2 * 30 * most


def test_square_asks_for_no_gradient_and_keeps_to_its_queries():
    x, label = batch(linear(5, scale=20.0))
    model, calls = linear(5, scale=20.0), []

    def black_box(x):
        calls.append(1)
        return model(x.detach()).detach()

    found = torchattack("square", black_box, x, label, 5, settings(queries=60), seed=1)
    assert (margin(model(found), label) < margin(model(x), label)).any()
    assert 55 <= len(calls) <= 65


def test_cw_gives_the_clean_picture_when_it_fails():
    x, label = batch()
    hopeless = F.one_hot(label, 5) * 1e4
    found = attack("cw-l2", lambda x: network()(x) + hopeless, x, label)
    torch.testing.assert_close(found, x, atol=1e-6, rtol=0)


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchattacks", None)
    x, label = batch()
    with pytest.raises(InputError, match="pip install --no-deps torchattacks==3.5.1"):
        attack("square", network(), x, label)


def test_foolbox_agrees():
    """A second witness, where it is installed."""
    foolbox = pytest.importorskip("foolbox")
    model = network(scale=4.0)
    x, label = batch(model)
    given = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
    theirs = foolbox.attacks.LinfPGD(abs_stepsize=EPS / 4, steps=7, random_start=False)(given, x, label, epsilons=EPS)[
        0
    ]
    ours = pgd(evaluation(model, label), x, EPS, EPS / 4, 7, range(12), random_start=False, keep="last").x
    assert (ours - theirs).abs().max() <= 1e-6
