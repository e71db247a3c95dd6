"""`--show-config`: the config of a run, each value with where it comes from; nothing is run."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml

import train
from dassl.engine import TRAINER_REGISTRY
from robustness.__main__ import plan as evaluations
from robustness.run import setup
from runs.__main__ import main as script
from runs.defaults import default_cfg
from runs.options import parse
from runs.shown_config import shown_config

DIGITS = ("--dataset-config-file", "configs/datasets/digits.yaml")


def shown(capsys, method: str, *words: str) -> dict[str, tuple[object, str]]:
    """{key: (value, where it comes from)}."""
    config = f"configs/trainers/{method}/embedded.yaml"
    named = ("--trainer", method, *DIGITS, *(("--config-file", config) if Path(config).is_file() else ()))
    assert train.run(["--show-config", *named, *words]) == 0
    text = capsys.readouterr().out
    values = yaml.safe_load(text)
    origins = {
        key: rest.rpartition("  # ")[2]
        for key, _, rest in (line.partition(": ") for line in text.splitlines() if line[0] != "#")
    }
    assert values.keys() == origins.keys()
    return {key: (values[key], origins[key]) for key in values}


def test_where_each_value_comes_from(capsys):
    found = shown(
        capsys, "CoOp", "--seed", "3", "--backbone", "RN101", "OPTIM.LR", "0.1", "DATASET.NUM_SHOTS", "4",
        "OPTIM.LR", "0.2",
    )  # fmt: skip
    config = "configs/trainers/CoOp/embedded.yaml"
    assert found["TRAINER.COOP.CSC"] == (False, "default")
    assert found["DATASET.NAME"] == ("Digits", "configs/datasets/digits.yaml")
    assert found["OPTIM.MAX_EPOCH"] == (50, config)
    assert found["SEED"] == (3, "command line, --seed") and found["TRAINER.NAME"] == ("CoOp", "command line, --trainer")
    assert found["MODEL.BACKBONE.NAME"] == ("RN101", "command line, --backbone")  # the YAML's is another
    assert found["DATASET.NUM_SHOTS"] == (4, "command line")
    assert found["OPTIM.LR"] == (0.2, "command line")  # given three times: the last wins
    assert shown(capsys, "CoOp")["OPTIM.LR"] == (0.002, config)


def test_the_methods_own_settings_yield_to_the_command_line(capsys):
    depth, where = "TRAINER.CoPrompt.PROMPT_DEPTH", "CoPrompt's dataset settings"
    at = ("DATASET.NAME", "EuroSAT")
    value, origin = shown(capsys, "CoPrompt", *at)[depth]
    assert origin == where
    assert shown(capsys, "CoPrompt", *at, depth, str(value + 1))[depth] == (value + 1, "command line")


def test_rules(capsys):
    found = shown(capsys, "CoOp", "DATASET.NOISE_RATE", "0.5", "TRAINER.SAR.ENABLED", "True")
    rule = "rule: older keys of label noise"
    assert found["DATASET.NOISE.TYPE"] == ("sym_other", rule) and found["DATASET.NOISE.RATE"] == (0.5, rule)
    assert "DATASET.NOISE_RATE" not in found  # back at its default
    assert found["TRAINER.NAME"] == ("CoOpSAR", "rule: SAR is a method of its own")
    assert found["TRAINER.SAR.ENABLED"] == (True, "command line")
    assert shown(capsys, "CoOpSAR")["TRAINER.SAR.ENABLED"] == (True, "rule: SAR is a method of its own")
    assert not any(key.startswith(("ATTACK.", "TEST.ADV_SET")) for key in found)
    assert shown(capsys, "CoOp", "TEST.ADV_SET", "make", "ATTACK.EPS", "1")["ATTACK.EPS"] == (1.0, "command line")


def test_a_checkpoint(capsys, tmp_path):
    file = tmp_path / TRAINER_REGISTRY.get("CoOp").registered_name / "model.pth.tar-2"
    file.parent.mkdir()
    saved = {"TRAINER.COOP.N_CTX": 7, "TRAINER.COOP.CLASS_TOKEN_POSITION": "middle"}
    torch.save({"state_dict": {}, "epoch": 2, "run": {"TRAINER.NAME": "CoOp", "architecture": saved}}, file)
    found = shown(capsys, "CoOp", "--eval-only", "--model-dir", str(tmp_path), "--load-epoch", "2")
    for key, value in saved.items():
        assert found[key] == (value, f"checkpoint in {tmp_path}")


def test_the_keys_are_those_of_the_log(capsys):
    words = ["--trainer", "MaPLe", *DIGITS, "OPTIM.LR", "0.1"]
    cfg = train.setup_cfg(train.build_parser().parse_args(words))
    *lines, _ = shown_config(cfg, default_cfg(), []).splitlines()
    assert train.run(["--show-config", *words]) == 0
    *ours, _ = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in ours] == [line.partition(":")[0] for line in lines]


def test_nothing_is_written(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("runs.one_run.build_trainer", lambda cfg: pytest.fail("a trainer is built"))
    shown(capsys, "CoOp", "--root", str(tmp_path / "data"), "--output-dir", str(tmp_path / "run"))
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_that_is_missing(capsys, tmp_path):
    """Its settings are part of the config, so there is none to show."""
    words = ["--show-config", "--trainer", "CoOp", *DIGITS, "--eval-only", "--model-dir", str(tmp_path), "--load-epoch"]
    assert train.run([*words, "7"]) == 2
    out, error = capsys.readouterr()
    assert "There is no checkpoint at" in error and "model.pth.tar-7" in error and not out


def test_it_may_come_last(capsys, tmp_path, monkeypatch):
    words = ["--trainer", "CoOp", *DIGITS, "OPTIM.LR", "0.1"]
    assert train.run(["--show-config", *words]) == train.run([*words, "--show-config"]) == 0
    first, _, rest = capsys.readouterr().out.partition("\n")
    assert rest.count(first) == 1
    monkeypatch.setenv("OUTPUT", str(tmp_path))
    assert script(["base2new_train", "CoOp", "digits", "1", "OPTIM.LR", "0.1", "--show-config"]) == 0
    assert "OPTIM.LR: 0.1" in capsys.readouterr().out and not list(tmp_path.iterdir())


def test_skip_bad_is_an_option_of_scripts_too(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("OUTPUT", str(tmp_path))
    monkeypatch.setenv("CFG", "embedded")
    assert script(["few_shot", "CoOp", "folder", "1", "--show-config", "--skip-bad", "DATASET.FOLDER.PATH", "x"]) == 0
    shown = capsys.readouterr().out
    assert "DATASET.FOLDER.SKIP_BAD: true" in shown and "command line, --skip-bad" in shown
    (found,) = evaluations(["ZeroshotCLIP", "folder", "1", "4", "10", "W", "--skip-bad", "DATASET.FOLDER.PATH", "x"])
    assert setup(parse(found))[0].DATASET.FOLDER.SKIP_BAD


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["OPTIM.LRR", "1"], "Unknown config key OPTIM.LRR"),
        (["OPTIM.LR", "fast"], "OPTIM.LR is 'fast'"),
        (["--seed", str(2**64)], "--seed is 1844"),
        (["ATTACK.EPS", "1"], "without an attack"),
        (["--config-file", "no.yaml"], "There is no config file no.yaml"),
        (["TRAINER.NAME", "CoOpp"], "CoOpp"),
        (["DATASET.NAME", "Digit"], "Digit"),
    ],
)
def test_bad_input(words, says, capsys):
    assert train.run(["--show-config", "--trainer", "CoOp", *DIGITS, *words]) == 2
    out, error = capsys.readouterr()
    assert says in error and error.startswith("error: ") and error.count("\n") == 1 and not out
