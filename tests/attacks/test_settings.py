"""ATTACK.*: what is refused, and what a set's identity depends on."""

from __future__ import annotations

import pytest
from yacs.config import CfgNode

from attacks import AttackSettings, add_attack_defaults
from attacks.settings import AUTOATTACK, CONFIG_DEFAULTS, PARAMETERS, fraction
from dassl.utils import InputError


def cfg(**values) -> CfgNode:
    found = CfgNode()
    add_attack_defaults(found)
    for key, value in values.items():
        found.merge_from_list([f"ATTACK.{key}", value])
    return found


def chosen(classes: int = 10, **values) -> AttackSettings:
    return AttackSettings.from_cfg(cfg(**values), classes)


def test_defaults():
    found = chosen()
    assert (found.names, found.eps, found.alpha, found.steps, found.batch) == (("pgd",), 4.0, 1.0, 100, 64)
    assert (found.keep, found.quant, found.random_start, found.restarts) == ("best_loss", "round_project", True, 1)
    assert set(CONFIG_DEFAULTS) >= {"ATTACK.EOT.DRAWS", "ATTACK.SQUARE.QUERIES", "ATTACK.TARGETS"}


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"NAME": "pgb"}, "nearest: .*pgd"),
        ({"NAME": "auto-attack"}, "there is no attack 'auto-attack'"),
        ({"EPS": -1.0}, "EPS is -1"),
        ({"EPS": 256.0}, "EPS is 256"),
        ({"EPS": 1.0, "ALPHA": 2.5}, "ALPHA is 2.5.*twice"),
        ({"ALPHA": -1.0}, "ALPHA is -1"),
        ({"STEPS": 0}, "STEPS is 0"),
        ({"RESTARTS": 0}, "RESTARTS is 0"),
        ({"BATCH": 0}, "BATCH is 0"),
        ({"SUBSET": -1}, "SUBSET is -1"),
        ({"KEEP": "first"}, "best_loss, last"),
        ({"QUANT": "floor"}, "round_project, trunc, none"),
        ({"STORE": "jpeg"}, "raw, png"),
        ({"MODE": "Z"}, "MODE is 'Z'"),
        ({"PREC": "fp16"}, "PREC is 'fp16'"),
        ({"PRESET": "vit", "EPS": 2.0}, "PRESET vit has EPS 4"),
        ({"PRESET": "rtpt"}, "rtpt-rn50, vit, ttc"),
    ],
)
def test_what_cannot_be(values, says):
    with pytest.raises(InputError, match=says) as error:
        chosen(**values)
    assert str(error.value).endswith(".") and str(error.value).count("\n") == 0


@pytest.mark.parametrize(("name", "classes", "fits"), [
    ("apgd-dlr", 2, False), ("apgd-dlr", 3, True), ("apgd-dlr-t", 3, False), ("apgd-dlr-t", 4, True),
    ("aa", 3, False), ("aa", 4, True), ("pgd", 1, False), ("pgd", 2, True), ("none", 1, False),
])  # fmt: skip
def test_how_many_classes(name, classes, fits):
    if fits:
        assert chosen(classes, NAME=name)
    elif name == "none":
        assert chosen(classes, NAME=name).names == ("none",)
    else:
        with pytest.raises(InputError, match="classes"):
            chosen(classes, NAME=name)


def test_eps_0_is_no_attack():
    assert chosen(EPS=0.0).names == chosen(EPS=0.0, NAME="apgd-ce,square").names == ("none",)


@pytest.mark.parametrize(
    ("preset", "sizes", "keep"),
    [("rtpt-rn50", (1, 0.25, 7), "best_loss"), ("vit", (4, 1, 100), "best_loss"), ("ttc", (1, 1, 10), "best_loss"),
     ("apt1", (1, 0.25, 100), "last"), ("apt4", (4, 1, 100), "last"), ("fap", (1, 1, 100), "last")],
)  # fmt: skip
def test_presets(preset, sizes, keep):
    found = chosen(PRESET=preset)
    assert (found.eps, found.alpha, found.steps, found.keep, found.names) == (*sizes, keep, ("pgd",))


def test_the_preset_of_advpt_is_an_attack_on_features():
    found = chosen(PRESET="advpt")
    assert (found.names, found.eps, found.steps) == (("feature",), 16.0, 40)
    assert found.parameters() == [{"name": "feature", "eps": "16/255", "steps": 40}]
    with pytest.raises(InputError, match="PRESET advpt has NAME feature, but ATTACK.NAME is square"):
        chosen(PRESET="advpt", NAME="square")


def test_autoattack_is_four_attacks_on_what_is_left():
    found = chosen(NAME="aa")
    assert found.names == AUTOATTACK and found.only_correct and found.title == "aa-eps4-100"
    assert [p.get("targets") for p in found.parameters()] == [None, 9, 9, None]
    assert [p.get("queries") for p in found.parameters()] == [None, None, None, 5000]


def test_fractions_are_exact():
    assert [fraction(x) for x in (1.0, 4.0, 0.25, 0.5)] == ["1/255", "4/255", "1/1020", "1/510"]


def test_only_what_matters_is_a_parameter():
    plain = chosen().parameters()
    assert chosen(BATCH=3, TARGETS=2, STORE="png", KAPPA=3.0, PACKAGE="autoattack").parameters() == plain
    assert chosen(NAME="cw", KAPPA=3.0).parameters() != chosen(NAME="cw").parameters()
    two = [chosen(NAME="square,di", PACKAGE=name).parameters() for name in ("torchattacks", "autoattack")]
    assert two[0][0] != two[1][0] and two[0][1] == two[1][1]  # DI is torchattacks' in any case
    assert chosen(KEEP="last").parameters() != plain
    assert chosen(NAME="square", BATCH=3).parameters() != chosen(NAME="square").parameters()  # it draws for a batch
    assert all(set(keys) <= set(AttackSettings.__dataclass_fields__) for keys in PARAMETERS.values())
