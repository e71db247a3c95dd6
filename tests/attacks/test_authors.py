"""AutoAttack's parts from its authors' package: asked for as its README says, and named where it is missing.

The package is not on PyPI, so that a stand-in with its interface takes its place here.
"""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch
from toys import network, pictures, predicted

from attacks import AttackSettings, attack_pictures
from attacks.authors import NAMES
from dassl.utils import InputError

MADE: list = []


class AutoAttack:
    def __init__(self, model, norm="Linf", eps=0.3, seed=None, verbose=True, attacks_to_run=(), version="standard",
                 device="cuda"):  # fmt: skip
        self.model, self.about = model, (norm, eps, seed, verbose, attacks_to_run, version)
        self.apgd, self.apgd_targeted, self.fab, self.square = (SimpleNamespace(n_restarts=5) for _ in range(4))
        MADE.append(self)

    def run_standard_evaluation(self, x_orig, y_orig, bs=250):
        assert self.model(x_orig).argmax(1).shape == y_orig.shape and bs == len(x_orig)
        return (x_orig + self.about[1] * torch.randn_like(x_orig).sign()).clamp(0, 1)


@pytest.fixture()
def package(monkeypatch):
    module = ModuleType("autoattack")
    module.AutoAttack = AutoAttack
    monkeypatch.setitem(sys.modules, "autoattack", module)
    MADE.clear()


def attack(*names, **more):
    model, u8 = network(scale=6.0), pictures()
    label = predicted(model, u8.float() / 255)
    given = {"names": names, "eps": 8.0, "steps": 9, "queries": 40, "targets": 9, "package": "autoattack"}
    return u8, attack_pictures(AttackSettings(**given | more), model, u8, label, list(range(12)))


@pytest.mark.parametrize("name", NAMES)
def test_each_part_has_the_settings_of_the_run(package, name):
    u8, found = attack(name, restarts=2)
    (made,) = MADE
    norm, eps, _, verbose, parts, version = made.about
    assert (norm, eps, verbose, parts, version) == ("Linf", 8 / 255, False, [NAMES[name]], "custom")
    assert made.apgd_targeted.n_target_classes == made.fab.n_target_classes == 4  # five classes
    assert {part.n_restarts for part in (made.apgd, made.apgd_targeted, made.fab, made.square)} == {2}
    assert (made.apgd.n_iter, made.square.n_queries) == (9, 40)
    assert 0 < (found.picture.int() - u8.int()).abs().max() <= 8


def test_generators_go_on_and_a_seed_decides(package):
    network(), pictures()  # which seed the global generator
    before = torch.get_rng_state()
    first, second = attack("square")[1].picture, attack("square")[1].picture
    assert torch.equal(first, second) and torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(attack("square", seed=1)[1].picture, first)


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "autoattack", None)
    with pytest.raises(InputError, match="PyPI does not have it; run: pip install git.*fra31/auto-attack, or take"):
        attack("apgd-ce")
