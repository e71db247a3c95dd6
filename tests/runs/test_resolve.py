"""The one resolution of a config: without torch, by pure rules, each applied once."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path
from types import MappingProxyType, SimpleNamespace

import pytest

import runs.rules
from dassl.utils import InputError
from datasets.noise.config import ALIASES, CONFIG_DEFAULTS, SWAPS
from runs.resolve import Config
from runs.rules import IMAGES, LEFT_OUT, NOISE, REMOVED, WHICH_RUN, Rule, attack, noise, sar, stand_in, tower

ROOT = Path(__file__).resolve().parents[2]
BACKBONE = "MODEL.BACKBONE.VISUAL_WEIGHTS"
DEFAULTS = MappingProxyType(
    CONFIG_DEFAULTS
    | {"DATASET.NUM_SHOTS": 16, "DATASET.STAND_IN": "", "TRAINER.NAME": "CoOp", "TRAINER.SAR.ENABLED": False}
    | {"TEST.ADV_SET": "", "ATTACK.EPS": 4.0, "ATTACK.DIR": "", BACKBONE: "", f"{BACKBONE}_KEY": ""}
)


def with_sar(method: str) -> str:
    if method != "CoOp":
        raise InputError(f"no host {method}")
    return "CoOpSAR"


FACTS = SimpleNamespace(
    defaults=DEFAULTS, noise_aliases=ALIASES, noise_swaps=SWAPS, datasets=["Caltech101"], with_sar=with_sar,
    has_sar={"CoOp": False, "CoOpSAR": True, "VPT": False}.get, is_hosted=lambda method: method == "Theirs",
)  # fmt: skip
CHANGES = [
    (noise.RULE, {}, {}),
    (noise.RULE, {"DATASET.NOISE_RATE": 0.5}, {"TYPE": "sym_other", "RATE": 0.5}),
    (noise.RULE, {"DATASET.NOISE_TYPE": "pair", "DATASET.NUM_FP": 4}, {"TYPE": "fp_swap_pair", "RATE": 0.25}),
    (noise.RULE, {"DATASET.NOISE_RATE": 0.5, "DATASET.NOISE_LABEL": False}, {}),
    (sar.RULE, {"TRAINER.SAR.ENABLED": True}, {"TRAINER.NAME": "CoOpSAR"}),
    (sar.RULE, {"TRAINER.NAME": "CoOpSAR"}, {"TRAINER.SAR.ENABLED": True}),
    (sar.RULE, {"TRAINER.NAME": "Unknown", "TRAINER.SAR.ENABLED": True}, {}),
    (attack.RULE, {}, dict.fromkeys(["TEST.ADV_SET", "ATTACK.EPS", "ATTACK.DIR"], REMOVED)),
    (attack.RULE, {"TEST.ADV_SET": "make", "ATTACK.EPS": 1.0}, {}),
    (attack.RULE, {"TEST.ADV_SET": "folder", "ATTACK.DIR": "there"}, {}),
    (tower.RULE, {}, {BACKBONE: REMOVED, f"{BACKBONE}_KEY": REMOVED}),
    (tower.RULE, {BACKBONE: "file"}, {}),
    (stand_in.RULE, {}, {"DATASET.STAND_IN": REMOVED}),
    (stand_in.RULE, {"DATASET.STAND_IN": "Caltech101"}, {}),
    (stand_in.RULE, {"DATASET.STAND_IN": "Other", "TRAINER.NAME": "Theirs"}, {}),
]
REFUSED = [
    (noise.RULE, {"DATASET.NOISE_RATE": 0.5, "DATASET.NOISE.TYPE": "idn"}, "given twice"),
    (noise.RULE, {"DATASET.NOISE.TYPE": "idn", "DATASET.NOISE_LABEL": False}, "stands for clean labels"),
    (noise.RULE, {"DATASET.NUM_FP": 16}, "DATASET.NUM_FP is 16"),
    (noise.RULE, {"DATASET.NUM_FP": 4, "DATASET.NOISE_RATE": 0.5}, "both say how many"),
    (sar.RULE, {"TRAINER.NAME": "VPT", "TRAINER.SAR.ENABLED": True}, "no host VPT"),
    (attack.RULE, {"ATTACK.EPS": 1.0}, "ATTACK.EPS has no effect without an attack"),
    (attack.RULE, {"TEST.ADV_SET": "folder", "ATTACK.EPS": 1.0}, "ATTACK.EPS has no effect on a set that is made"),
    (tower.RULE, {f"{BACKBONE}_KEY": "visual"}, "has no effect without MODEL.BACKBONE.VISUAL_WEIGHTS"),
    (stand_in.RULE, {"DATASET.STAND_IN": "Caltech"}, "such as Caltech101"),
]


def test_a_config_is_resolved_without_torch():
    text = "import sys, runs.resolve; print({'torch', 'trainers', 'datasets', 'clipkit'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", text], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "set()\n"), done.stderr


def test_each_rule_is_applied_once():
    modules = [importlib.import_module(f"runs.rules.{m.name}") for m in pkgutil.iter_modules(runs.rules.__path__)]
    rules = [module.RULE for module in modules if hasattr(module, "RULE")]
    assert len(rules) >= 6
    applied = (*WHICH_RUN, *NOISE, *IMAGES, *LEFT_OUT)
    assert sorted(applied) == sorted(rules) and len({rule.name for rule in rules}) == len(rules)


@pytest.mark.parametrize(("rule", "given", "found"), CHANGES)
def test_a_rule_says_what_it_changes_and_changes_nothing_itself(rule, given, found):
    if rule is noise.RULE:
        found = {f"DATASET.NOISE.{key}": value for key, value in found.items()}
        found |= {key: DEFAULTS[key] for key in given if key in noise.OLDER}
    before = MappingProxyType(DEFAULTS | given)  # of which nothing can be set
    new = {key: value for key, value in rule.changes(before, FACTS).items() if before[key] is not value != before[key]}
    assert {key: value for key, value in new.items() if value is REMOVED or value != before[key]} == found
    config = Config(before)
    config.apply([rule], FACTS)
    assert config.origin == dict.fromkeys(found, f"rule: {rule.name}")
    assert config == {key: value for key, value in {**before, **found}.items() if value is not REMOVED}


@pytest.mark.parametrize(("rule", "given", "says"), REFUSED)
def test_what_a_rule_refuses(rule, given, says):
    with pytest.raises(InputError, match=says):
        rule.changes(DEFAULTS | given, FACTS)


def test_a_rule_sees_what_those_before_it_made():
    config = Config({"A": 1, "B": 1})
    config.apply(
        [Rule("one", lambda c, _: {"A": 2, "B": 1}), Rule("two", lambda c, _: {"B": c["A"] + 1, "A": REMOVED})], FACTS
    )
    assert config == {"B": 3} and config.origin == {"A": "rule: two", "B": "rule: two"}
