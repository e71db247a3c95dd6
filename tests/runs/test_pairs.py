"""KEY=VALUE is read as KEY VALUE wherever config pairs are given."""

from __future__ import annotations

import argparse

import pytest

import train
from bench.suites.options import add_suite_options, open_suite
from robustness.__main__ import plan as attack_plan
from runs.__main__ import main as protocol
from runs.options import parse
from runs.pairs import apart


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("OPTIM.LR=0.1 SEED=2", "OPTIM.LR 0.1 SEED 2"),
        ("OPTIM.LR 0.1 TASK=FS A.B=", "OPTIM.LR 0.1 TASK FS A.B "),
        ("sym_other 0.4 OPTIM.LR=0.1 W", "sym_other 0.4 OPTIM.LR 0.1 W"),
        ("A.B C.D=1 E.F=2", "A.B C.D=1 E.F 2"),
        ("A.B=x=y C.D -1", "A.B x=y C.D -1"),
        ("a.b=1 x=1 ../c=1 -- A.B=1", "a.b 1 x=1 ../c=1 -- A.B=1"),
    ],
)
def test_words(words, found):
    assert apart(words.split()) == found.split(" ")


def test_of_train_also_between_options():
    args = parse(["--seed", "1", "OPTIM.LR=0.1", "--trainer", "CoOp", "INPUT.SIZE=(8, 8)", "OPTIM.MAX_EPOCH", "3"])
    assert args.opts == ["OPTIM.LR", "0.1", "INPUT.SIZE", "(8, 8)", "OPTIM.MAX_EPOCH", "3"]
    assert (args.trainer, args.seed) == ("CoOp", 1)


def test_of_protocols_attacks_and_suites(monkeypatch, capsys, tmp_path):
    seen = []
    monkeypatch.setattr("runs.one_run.run", lambda words: seen.append(words) or 0)
    monkeypatch.setenv("OUTPUT", str(tmp_path))
    assert protocol(["noise_train", "CoOp", "digits", "1", "sym_other", "0.4", "OPTIM.LR=0.1"]) == 0
    assert protocol(["few_shot", "CoOp", "digits", "1", "OPTIM.LR=0.1"]) == 0
    assert all(words[-2:] == ["OPTIM.LR", "0.1"] for words in seen) and len(seen) == 2
    assert protocol(["few_shot", "CoOp", "digits", "1", "SEED=2"]) == 2
    assert "SEED in the command line contradicts the folder" in capsys.readouterr().err
    (attack,) = attack_plan(["ZeroshotCLIP", "digits", "1", "4", "5", "W", "ATTACK.SUBSET=7"])
    assert "eps4-5-n7" in " ".join(attack)

    parser = argparse.ArgumentParser()
    add_suite_options(parser)
    same, as_words, without = (
        repr(open_suite(parser.parse_args(["configs/suites/embedded.yaml", *pairs, "--seeds", "1"])).runs)
        for pairs in (["OPTIM.MAX_EPOCH=3"], ["OPTIM.MAX_EPOCH", "3"], [])
    )
    assert same == as_words != without


def test_a_wrong_key_is_told_with_the_right_one(tiny, tmp_path, capsys):
    words = tiny.arguments(tmp_path / "run")
    assert train.run([*words, "optim.max_epoch=3"]) == 2
    err = capsys.readouterr().err
    assert "Unknown config key optim.max_epoch" in err and "nearest: OPTIM.MAX_EPOCH" in err
