"""Studies: none of many runs begins by itself, and what it is told is checked before the first run."""

from __future__ import annotations

import importlib
import os

import pytest
import yaml
from result_files import folder_of, write_result

from bench.__main__ import main as bench
from bench.studies import door
from runs.targets import ROOT

LONG = {"generalization": [], "noise": [], "sar": ["hosts"], "anprompt_ablation": [], "dpsep_ablation": [],
        "text_noise": []}  # fmt: skip
SHORT = {"noise_xd": [], "adversarial": [], "base2new": [], "adversarial_base2new": []}


class Suites(list):
    def __init__(self) -> None:
        super().__init__()
        self.stacks: list[int] = []


@pytest.fixture
def started(monkeypatch):
    """Each suite that a study hands to the runner; `stacks`: how many runs each is to train at once."""
    suites = Suites()

    def take(suite, jobs, gpus, stack):
        suites.append(suite)
        suites.stacks.append(stack)
        return 1

    monkeypatch.setattr(door, "run_suite", take)
    monkeypatch.chdir(ROOT)
    return suites


def call(name: str, *words: str) -> int:
    return importlib.import_module(f"bench.studies.{name}").main([*(LONG | SHORT)[name], *words])


@pytest.mark.parametrize("name", LONG)
def test_many_runs_wait_for_the_word_run(name, started, tmp_path, capsys, caplog):
    caplog.set_level("INFO")
    output = tmp_path / "out"
    assert call(name, "--output", str(output)) == 1 and started == []
    shown = capsys.readouterr().err
    (file,) = output.iterdir()
    assert f"python -m bench run {file} --launcher slurm" in shown and "time left" in caplog.text
    assert call(name, "run", "--output", str(output)) == call(name, "--yes", "--output", str(output)) == 1
    counts = [len(suite.runs) for suite in started]
    assert f"{counts[0]} runs are to be done" in shown and counts[0] == counts[1] > door.MOST
    assert bench(["plan", str(file)]) == 0
    assert f"{counts[0]} runs into {output}" in capsys.readouterr().out


@pytest.mark.parametrize("name", SHORT)
def test_a_short_one_begins(name, started, tmp_path):
    call(name, "--output", str(tmp_path / "out"), "--seeds", "1", "1")
    assert len(started) == 1 and 0 < len(started[0].runs) <= door.MOST
    assert {run.seed for run in started[0].runs} == {1}


@pytest.mark.parametrize("name", ["base2new", "generalization"])
def test_results_of_other_settings_are_in_no_table(name, started, tmp_path, capsys):
    """A run with the name of one of the study's, but other settings; a method that is not in the study stays."""
    for method, accuracy in (("CoOp", 61.25), ("MaPLe", 77.75)):
        for protocol, half in (("base2new_train", "base"), ("base2new_test", "new")):
            folder = folder_of(tmp_path, protocol, method, "digits", 1)
            write_result(folder, method, "Digits", 1, accuracy, subsample_classes=half)
    words = ["--methods", "CoOp", "--datasets", "digits", "--seeds", "1", "--output", str(tmp_path)]
    call(name, "run", *words, *(["--protocols", "base2new"] if name == "generalization" else []))
    out, error = capsys.readouterr()
    assert "61.25" not in out and error.count("holds a run with other settings: it is left out.") == 2
    assert ("77.75" in out) == (name == "base2new")


def test_another_suite_in_the_same_folder_has_a_file_of_its_own(started, tmp_path):
    """Tasks of a cluster read the first one, hours later."""
    for seeds in ("1", "2", "1"):
        call("base2new", "--output", str(tmp_path), "--seeds", seeds)
    assert [suite.file.name for suite in started] == ["suite.yaml", "suite-2.yaml", "suite.yaml"]
    assert yaml.safe_load((tmp_path / "suite-2.yaml").read_text())["seeds"] == [2]


def test_the_environment_is_in_the_suite(started, tmp_path, monkeypatch):
    monkeypatch.setenv("SHOTS", "4")
    monkeypatch.setenv("CFG", "configs/trainers/CoOp/embedded.yaml")
    call("base2new", "--output", str(tmp_path), "--seeds", "1", "--methods", "CoOp")
    monkeypatch.delenv("SHOTS"), monkeypatch.delenv("CFG")
    tree = yaml.safe_load(started[0].file.read_text())
    assert tree["blocks"][0]["shots"] == 4 and os.path.isabs(tree["blocks"][0]["cfg"])
    assert "shots_4" in str(started[0].runs[0].folders[0])
    monkeypatch.setenv("LOADEP", "3")
    assert call("base2new", "--output", str(tmp_path / "none")) == 2


BAD = {
    "--jobs": ["--jobs", "0"],
    "--stack": ["--stack", "0"],
    "--seeds": ["--seeds", "-1"],
    "--output": ["--output", "README.md"],
    "--root": ["--root", "README.md/x"],
    "Config pairs": ["--jobs", "1", "--", "OPTIM.LR"],
    "NOPE.KEY": ["--jobs", "1", "--", "NOPE.KEY", "3"],
    "--markdown": ["--markdown", "docs"],
    "--markdown README": ["--markdown", "README.md/x"],
}


@pytest.mark.parametrize("name", [*LONG, *SHORT])
def test_what_they_are_told_is_checked_first(name, started, tmp_path, capsys):
    for says, words in BAD.items():
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
def test_what_a_study_says_by_itself_is_no_config_pair(name, pairs, started, tmp_path, capsys):
    assert call(name, "--output", str(tmp_path / "out"), "--seeds", "1", "--", *pairs.split()) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and pairs.split()[0] in error and error.count("\n") == 1
    assert started == [] and not (tmp_path / "out").exists()


def test_a_study_with_a_name_may_be_tested_on_another_split(started, tmp_path):
    words = ["--methods", "CoOp", "--datasets", "digits", "--seeds", "1"]
    call("base2new", *words, "--output", str(tmp_path / "variants/val"), "--", "TEST.SPLIT", "val")
    assert len(started) == 1


def test_a_study_hands_on_how_many_runs_are_trained_at_once(started, tmp_path):
    for words, stack in (([], 1), (["--stack", "8"], 8)):
        assert call("noise", "run", "--output", str(tmp_path / "out"), *words) == 1
        assert started.stacks[-1] == stack
