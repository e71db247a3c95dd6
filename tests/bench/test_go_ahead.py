"""Sweeps: none begins that nobody asked for, and what they are told is checked before the first run."""

from __future__ import annotations

import importlib

import pytest
from result_files import folder_of, write_result

from bench.running import launch
from runs.targets import ROOT

LONG = {"generalization": [], "noise": [], "sar": ["hosts"], "anprompt_ablation": [], "dpsep_ablation": []}
SHORT = {"noise_xd": [], "adversarial": [], "base2new": ["--methods", "CoOp", "--datasets", "digits"]}


@pytest.fixture
def started(monkeypatch):
    """How many runs each call of a sweep would start."""
    counts = []

    def count(jobs, workers):
        counts.append(sum(map(len, jobs)))
        return []

    for module in (launch, importlib.import_module("bench.generalization")):
        monkeypatch.setattr(module, "run_all", count)
    monkeypatch.chdir(ROOT)
    return counts


def call(name: str, *words: str) -> int:
    return importlib.import_module(f"bench.{name}").main([*(LONG | SHORT)[name], *words])


@pytest.mark.parametrize("name", LONG)
def test_a_long_sweep_of_defaults_waits_for_yes(name, started, tmp_path, capsys):
    output = ["--output", str(tmp_path / "none")]
    assert call(name, *output) == 2 and started == [] and not (tmp_path / "none").exists()
    shown = capsys.readouterr().err
    call(name, *output, "--yes")
    assert f"is {started[0]} runs" in shown and "--yes" in shown and started[0] > 50
    call(name, *output, "--seeds", "1", "1")
    assert 0 < started[1] < started[0] / 2
    write_result(folder_of(tmp_path / "old", "few_shot", "CoOp", "digits", 1), "CoOp", "Digits", 1, 50.0)
    capsys.readouterr()
    assert call(name, "--output", str(tmp_path / "old"), "--jobs", "1") == 2
    hours = started[0] * 12.5 // 3600
    assert f"about {hours:.0f}:" in capsys.readouterr().err or hours == 0


@pytest.mark.parametrize("name", SHORT)
def test_a_short_one_begins(name, started, tmp_path):
    call(name, "--output", str(tmp_path / "none"))
    assert len(started) == 1 and 0 < started[0] <= 50


BAD = {
    "--jobs": ["--jobs", "0"],
    "--seeds": ["--seeds", "-1"],
    "--output": ["--output", "README.md"],
    "--root": ["--root", "README.md/x"],
    "Config pairs": ["--jobs", "1", "--", "OPTIM.LR"],
    "NOPE.KEY": ["--jobs", "1", "--", "NOPE.KEY", "3"],
}


@pytest.mark.parametrize("name", [*LONG, *SHORT])
def test_what_they_are_told_is_checked_first(name, started, tmp_path, capsys):
    bad = dict(BAD)
    if name != "base2new":
        bad |= {"--markdown": ["--markdown", "docs"], "--markdown README": ["--markdown", "README.md/x"]}
    for says, words in bad.items():
        output = [] if "--output" in words else ["--output", str(tmp_path / "none")]
        assert call(name, *output, *words) == 2, says
        error = capsys.readouterr().err
        assert error.startswith("error: ") and says.split()[0] in error and error.count("\n") == 1, error
    assert started == [] and not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("name", "pairs"),
    [("noise", "DATASET.NOISE.RATE 0.2"), ("noise_xd", "DATASET.NOISE_TYPE sym"), ("adversarial", "ATTACK.EPS 8"),
     ("adversarial", "ATTACK.NAME fgsm"), ("base2new", "TEST.SPLIT val"), ("noise", "TASK CD")],
)  # fmt: skip
def test_what_a_sweep_says_by_itself_is_no_config_pair(name, pairs, started, tmp_path, capsys):
    assert call(name, "--output", str(tmp_path / "out"), "--seeds", "1", "--", *pairs.split()) == 2
    assert f"error: {pairs.split()[0]} in the command line" in capsys.readouterr().err
    assert started == [] and not (tmp_path / "out").exists()


def test_a_sweep_with_a_name_may_be_tested_on_another_split(started, tmp_path):
    call("base2new", "--output", str(tmp_path / "variants/val"), "--seeds", "1", "--", "TEST.SPLIT", "val")
    assert started == [2]
