"""PGD, FGSM, noise and EOT-PGD on models whose answer is known."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F
from toys import linear, network, pictures, predicted

from attacks import evaluation, expectation, fgsm, noise, pgd
from attacks.losses import cross_entropy, dlr, margin
from dassl.utils import InputError

EPS = 8 / 255
SEEDS = list(range(100, 112))


def batch():
    x = pictures().float() / 255
    return x, predicted(network(), x)


def corner(model, x, label, eps):
    """Of two classes: the farthest point of the ball along the other class's direction."""
    w = model[1].weight
    direction = (w[1 - label] - w[label]).view(x.shape).sign()
    return (x + eps * direction).clamp(0, 1)


@pytest.mark.parametrize("keep", ["best_loss", "last"])
def test_reaches_the_corner_of_a_linear_model(keep):
    """Wherever it starts, once steps * alpha >= 2 eps."""
    model, (x, _) = linear(2), batch()
    label = predicted(model, x)
    found = pgd(evaluation(model, label), x, EPS, EPS / 4, 8, SEEDS, keep=keep)
    torch.testing.assert_close(found.x, corner(model, x, label, EPS), atol=1e-6, rtol=0)
    assert (cross_entropy(model(found.x), label) > cross_entropy(model(x), label)).all()


def test_fgsm_is_the_corner_in_one_step():
    model, (x, _) = linear(2), batch()
    label = predicted(model, x)
    torch.testing.assert_close(
        fgsm(evaluation(model, label), x, EPS).x, corner(model, x, label, EPS), atol=1e-6, rtol=0
    )


def test_a_sure_model_keeps_its_gradient():
    """Logit gap of 43: the label's softmax is 1 to the last bit, and the usual form loses its part of the gradient."""
    model = linear(2)
    model[1].weight.data[0], model[1].weight.data[1] = 0.9, 0.1
    model[1].bias.data[:] = 0.0
    x, label = torch.full((1, 3, 6, 6), 0.5), torch.tensor([0])
    inner = x.clone().requires_grad_()
    F.cross_entropy(model(inner), label).backward()
    assert (inner.grad > 0).all()  # the wrong way
    assert (fgsm(evaluation(model, label), x, EPS).x < x).all()


@pytest.mark.parametrize("attack", ["pgd", "fgsm", "noise", "restarts"])
def test_stays_in_the_ball_and_the_range(attack):
    x, label = batch()
    x[0, 0, 0, :3] = torch.tensor([0.0, 1.0, 0.5])
    evaluate = evaluation(network(), label)
    found = {
        "pgd": lambda: pgd(evaluate, x, EPS, 2 * EPS, 3, SEEDS),
        "restarts": lambda: pgd(evaluate, x, EPS, EPS, 3, SEEDS, restarts=3, keep="last"),
        "fgsm": lambda: fgsm(evaluate, x, EPS),
        "noise": lambda: noise(evaluate, x, EPS, SEEDS, draws=4),
    }[attack]()
    assert found.x.min() >= 0 and found.x.max() <= 1
    assert (found.x - x).abs().max() <= EPS + 1e-6
    assert (found.x - x).abs().max() > EPS / 2


def test_nothing_moves_at_eps_0():
    x, label = batch()
    assert torch.equal(pgd(evaluation(network(), label), x, 0.0, 0.0, 3, SEEDS).x, x)


def test_an_image_is_attacked_as_if_it_were_alone():
    x, label = batch()
    model = network()
    together = pgd(evaluation(model, label), x, EPS, EPS / 4, 5, SEEDS, restarts=2).x
    again = pgd(evaluation(model, label), x, EPS, EPS / 4, 5, SEEDS, restarts=2).x
    assert torch.equal(together, again)
    apart = torch.cat(
        [
            pgd(evaluation(model, label[i : i + 1]), x[i : i + 1], EPS, EPS / 4, 5, SEEDS[i : i + 1], restarts=2).x
            for i in range(len(x))
        ]
    )
    assert torch.equal(together, apart)
    other = pgd(evaluation(model, label), x, EPS, EPS / 4, 5, [s + 1 for s in SEEDS], restarts=2).x
    assert not torch.equal(together, other)


def test_random_states_are_left_alone():
    x, label = batch()
    before = torch.get_rng_state()
    pgd(evaluation(network(), label), x, EPS, EPS / 4, 2, SEEDS)
    assert torch.equal(before, torch.get_rng_state())


def test_the_kept_iterate():
    """best_loss is at least as good as the last iterate, and more restarts never help the model."""
    x, label = batch()
    model = network(scale=12.0)

    def attack(**kwargs):
        found = pgd(evaluation(model, label), x, 3 * EPS, 6 * EPS, 4, SEEDS, **kwargs).x  # far steps overshoot
        return model(found).argmax(1) != label, cross_entropy(model(found), label)

    last, best, more = attack(keep="last"), attack(), attack(restarts=4)
    assert (best[0] >= last[0]).all() and (more[0] >= best[0]).all()
    same = best[0] == last[0]
    assert (best[1][same] >= last[1][same] - 1e-6).all() and (best[1] > last[1] + 1e-3).any()
    same = best[0] == more[0]
    assert (more[1][same] >= best[1][same] - 1e-6).all() and (more[1] > best[1] + 1e-3).any()


def test_noise_is_weaker():
    x, label = batch()
    model = network()
    evaluate = evaluation(model, label)
    found = noise(evaluate, x, EPS, SEEDS, 4), pgd(evaluate, x, EPS, EPS / 4, 20, SEEDS)
    losses = [cross_entropy(model(f.x), label) for f in found]
    assert (losses[0] <= losses[1] + 1e-6).all()


def test_zero_gradients_are_counted_and_a_blocked_path_is_refused():
    x, label = batch()
    model = network()

    def half_dead(x):
        alive = torch.arange(len(x)).view(-1, 1, 1, 1) % 2
        return model(torch.where(alive == 1, x, x.detach()))

    found = pgd(evaluation(half_dead, label), x, EPS, EPS / 4, 2, SEEDS)
    assert found.zero_gradient.tolist() == [i % 2 == 0 for i in range(len(x))]
    for blocked in (lambda x: model(x.detach()), lambda x: model(x.detach()) + network(seed=3)[3].weight.sum()):
        with pytest.raises(InputError, match="no gradient with respect to"):
            pgd(evaluation(blocked, label), x, EPS, EPS / 4, 2, SEEDS)


def test_cross_entropy_is_the_usual_one():
    logits, label = torch.randn(50, 7, dtype=torch.float64) * 10, torch.arange(50) % 7
    torch.testing.assert_close(cross_entropy(logits, label), F.cross_entropy(logits, label, reduction="none"))


def test_margin():
    logits = torch.tensor([[1.0, 3.0, 2.0], [5.0, 3.0, 2.0]])
    assert margin(logits, torch.tensor([0, 0])).tolist() == [-2.0, 2.0]


# ---------------------------------------------------------------------- expectation over draws


def test_without_randomness_the_expectation_is_plain_pgd():
    x, label = batch()
    model = network()
    random = pgd(expectation(lambda x, seed: model(x), label, draws=3), x, EPS, EPS / 4, 4, SEEDS).x
    plain = pgd(evaluation(model, label), x, EPS, EPS / 4, 4, SEEDS).x
    torch.testing.assert_close(random, plain, atol=1e-6, rtol=0)


def test_draws_are_fresh_and_averaged():
    """A linear model whose weights are hidden under noise of mean 0: many draws find the corner, one does not."""
    model, (x, _) = linear(2, scale=0.02), batch()
    label = predicted(model, x)
    seen = []

    def sample(x, seed):
        seen.append(seed)
        # the same noise with both signs by turns: its mean over an even number of draws is almost 0
        sign = 1 if len(seen) % 2 else -1
        hidden = torch.randn(108, generator=torch.Generator().manual_seed(5)) * sign * 0.05
        return model(x) + torch.stack([x.flatten(1) @ hidden, -(x.flatten(1) @ hidden)], 1) * 0.1

    target = corner(model, x, label, EPS)
    many = pgd(expectation(sample, label, draws=2), x, EPS, EPS / 2, 8, SEEDS, keep="last").x
    assert len(seen) == len(set(seen)) == 16
    assert (many - target).abs().lt(1e-6).float().mean() > 0.9
    seen.clear()
    one = expectation(sample, label, draws=1)(x, 0, 0, True).gradient.sign()
    wanted = (target - x).sign()
    assert (one == wanted).float().mean() < 0.9


def test_most_draws_decide():
    label = torch.tensor([0])
    answers = iter([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    value = expectation(lambda x, seed: torch.tensor([next(answers)]), label, draws=3)(
        torch.zeros(1, 3, 2, 2), 0, 0, False
    )
    assert value.wrong.tolist() == [True] and value.gradient is None


def test_dlr():
    logits = torch.tensor([[3.0, 1.0, 0.0, -1.0], [3.0, 1.0, 0.0, -1.0]])
    label = torch.tensor([0, 1])
    torch.testing.assert_close(dlr(logits, label), torch.tensor([-2 / 3, 2 / 3]))
    torch.testing.assert_close(dlr(100 * logits + 7, label), dlr(logits, label))  # neither scale nor shift matters
