"""train.py's options may stand before, between and after the config pairs."""

from __future__ import annotations

import pytest

from dassl.utils import InputError
from runs.about import without_about
from runs.one_run import run
from runs.options import parse

MIXED = {
    "--seed 2 A 1": {"seed": 2, "opts": ["A", "1"]},
    "A 1 --seed 2": {"seed": 2, "opts": ["A", "1"]},
    "A 1 --seed 2 B -1 --eval-only --plugin x --plugin=y C 2": {
        "seed": 2, "opts": ["A", "1", "B", "-1", "C", "2"], "plugin": ["x", "y"], "eval_only": True},
    "--plugin x A 1 --plugin y": {"plugin": ["x", "y"]},
    "A 1 --transforms a b --show-config": {"transforms": ["a", "b"], "show_config": True, "opts": ["A", "1"]},
    "A 1 -- --x 2": {"opts": ["A", "1", "--x", "2"]},
    "A -1 -1 2": {"opts": ["A", "-1", "-1", "2"]},
}  # fmt: skip


@pytest.mark.parametrize("text", MIXED)
def test_options_stand_anywhere(text):
    found = vars(parse(text.split()))
    assert {key: found[key] for key in MIXED[text]} == MIXED[text]


def test_an_option_is_no_value(capsys):
    with pytest.raises(InputError, match="--seed follows OPTIM.LR"):
        parse(["OPTIM.LR", "--seed", "2"])
    assert run(["OPTIM.LR", "--seed", "2"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1


def test_an_unknown_option_is_refused(capsys):
    with pytest.raises(SystemExit, match="2"):
        parse(["A", "1", "--nope", "2"])
    assert "--nope" in capsys.readouterr().err


def test_what_is_for_the_record_alone_is_left_out_for_readers():
    assert without_about(["--seed", "1", "--about", "{}", "A", "--about"]) == ["--seed", "1", "A"]
