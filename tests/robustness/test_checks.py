"""Each sanity check passes on what is right and fails on what is wrong; a defence that masks its gradients is found."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from attacks import AttackSettings
from robustness import checks
from robustness.attackers import WhiteBox, on
from robustness.controls import Controls, cheap, thorough
from robustness.evaluate import Answers, Images, run_attack

OK = torch.tensor([True] * 9 + [False])


def passed(check) -> bool | None:
    return check.passed


def test_clean_path():
    logits = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    assert passed(checks.clean_path_agrees(logits, logits.clone()))
    assert not passed(checks.clean_path_agrees(logits, logits + 0.1))
    turned = logits.clone()
    turned[0] = turned[0].roll(1)
    assert not passed(checks.clean_path_agrees(logits, turned))


def test_ball():
    assert passed(checks.stays_in_ball({"a": 4, "b": 0}, 4.0))
    assert not passed(checks.stays_in_ball({"a": 4, "b": 5}, 4.0))
    assert not passed(checks.stays_in_ball({"a": 1}, 0.5))


def test_more_is_not_weaker():
    assert passed(checks.more_is_not_weaker({0: 90, 1: 50, 4: 50.9}, {}, 1000))
    assert not passed(checks.more_is_not_weaker({0: 90, 1: 50, 4: 51.1}, {}, 1000))
    assert passed(checks.more_is_not_weaker({0: 90, 1: 50, 4: 52.5}, {}, 40))  # one image of 40
    assert not passed(checks.more_is_not_weaker({}, {7: 50, 100: 50.6}, 1000))
    assert passed(checks.more_is_not_weaker({4: 1.0}, {7: 1.0}, 10)) is None


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (checks.unbounded_succeeds(1.0, "white-box", 10), checks.unbounded_succeeds(1.1, "white-box", 10)),
        (checks.unbounded_succeeds(12.0, "adaptive", 10), checks.unbounded_succeeds(12.1, "adaptive", 10)),
        (checks.noise_is_weakest(50.0, 50.0), checks.noise_is_weakest(49.0, 50.0)),
        (checks.not_weaker_than_transfer(~OK, OK, "adaptive"), checks.not_weaker_than_transfer(OK, ~OK, "adaptive")),
        (checks.more_does_not_help(50.0, 49.0, 1000), checks.more_does_not_help(50.0, 50.2, 1000)),
        (checks.square_does_not_win(49.5, 50.0, 1000), checks.square_does_not_win(49.4, 50.0, 1000)),
        (checks.has_gradients(torch.arange(100) < 1), checks.has_gradients(torch.arange(100) < 2)),
        (checks.one_step_is_weaker(50.0, 50.0, 1000), checks.one_step_is_weaker(49.0, 50.0, 1000)),
        (checks.undefended_falls(5.0, 4.0, 100), checks.undefended_falls(5.1, 4.0, 100)),
        (checks.labels_matter(80.0, 40.0, 50.0), checks.labels_matter(80.0, 40.0, 49.0)),
    ],
)
def test_limits(good, bad):
    assert good.passed is True and bad.passed is False
    assert good.code == bad.code and bad.verdict == "FAILED"


def test_not_run_says_why():
    assert passed(checks.undefended_falls(50.0, 1.0, 100)) is None
    assert passed(checks.labels_matter(80.0, 80.0, 80.0)) is None
    assert (
        checks.undefended_falls(50.0, 4.0, 20).verdict == "not run"
        and "20" in checks.undefended_falls(50, 4, 20).detail
    )


def test_flags():
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    assert checks.looks_like_probabilities(x.softmax(1)) and not checks.looks_like_probabilities(x)
    assert checks.answers_differ(x, x + 1) and not checks.answers_differ(x, x.clone())
    leaf = x.clone().requires_grad_()
    assert checks.takes_gradients(lambda: torch.autograd.grad(leaf.sum(), leaf))
    assert checks.takes_gradients(lambda: leaf.sum().backward())
    assert not checks.takes_gradients(lambda: leaf.sum())
    failed = [checks.Check("S8", False, ""), checks.Check("S9", True, "")]
    assert checks.flags(True, True, False, failed) == ["random", "dynamic", "Square wins"]
    assert checks.label(["random", "dynamic"]) == "dynamic+random" and checks.label([]) == "static"


# ---------------------------------------------------------------------- a defence that masks its gradients


def rounded(x):
    """4 bits: 16 grey levels. Its gradient is 0 everywhere."""
    return (x * 15).round() / 15


def straight_through(x):
    """BPDA: the value of `rounded` with the gradient of x."""
    return x + (rounded(x) - x).detach()


def net() -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3), nn.GELU(), nn.Flatten(), nn.Linear(128, 4)]
    layers[3].weight.data *= 4
    return nn.Sequential(*layers).requires_grad_(False)


@pytest.fixture(scope="module")
def found():
    """{masked, bpda: {code: check}} of the net behind 4-bit rounding."""
    model = net()

    def defence(x):
        return model(rounded(x))

    def deployed(pictures, rows):
        return defence(pictures.float() / 255)

    clean = torch.randint(0, 256, (24, 3, 6, 6), generator=torch.Generator().manual_seed(1)).to(torch.uint8)
    answers = Answers.of(deployed(clean, range(24)))
    images = Images(list(clean), answers.pred, list(range(24)))  # all of them right
    settings = AttackSettings(eps=16.0, alpha=4.0, steps=20, queries=300)
    results = {}
    for name, logits in (("masked", defence), ("bpda", lambda x: model(straight_through(x)))):
        attacker, rows = WhiteBox(on(logits)), list(range(24))
        main = run_attack(attacker, deployed, settings, images, answers, rows)
        controls = Controls(attacker, deployed, settings, images, answers, rows, main)
        results[name] = {c.code: c for c in (*cheap(controls), *thorough(controls, "white-box", 4))}
    return results


def test_masked_gradients_are_found(found):
    assert [code for code in checks.MASKING if found["masked"][code].passed is False] == list(checks.MASKING)


def test_bpda_clears_it(found):
    assert [c for c in found["bpda"].values() if c.passed is False] == []
    assert all(found["bpda"][code].passed for code in ("S3", "S4", "S5", "S8", "S9", "S10", "S12"))
