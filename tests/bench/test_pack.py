"""bench pack: results in one archive, from which tables are printed and suites go on as from the runs."""

from __future__ import annotations

import json
import os
import tarfile
from pathlib import Path

import pytest
from result_files import folder_of, write_attacked, write_result
from study_runs import finish, suite_of, with_settings

from bench.__main__ import main
from bench.reading.collect import collect
from bench.reading.packing import CHECKOUT
from bench.running.state import survey
from bench.studies.generalization import STUDY
from dassl.utils import InputError
from runs.trained_run import read_run

COMMAND = ["/home/ann/robustprompt/train.py", "--seed", "1", "--markdown", "/home/ann/table.md"]
LANGUAGE = {"file": f"{CHECKOUT}language/descriptions/digits.json"}


def _runs(output: Path) -> None:
    for seed in (1, 2):
        folder = folder_of(output, "noise_train", "CoOp", "digits", seed, ("sym_other", "0.5"))
        write_result(folder, "CoOp", "Digits", seed, 70.0 + seed, command=COMMAND, language=LANGUAGE)
        (folder / "model.pth.tar-1").write_bytes(b"weights")
        (folder / "curves.json").write_text('{"epochs": [1]}')
    folder = output / "robust/digits/white-box-pgd-eps4-10/shots_16/CoOp/embedded/seed1"
    write_attacked(folder, "CoOp", "Digits", 1, "white-box", clean=70.0, own=10.0)


def _unpacked(archive: Path, at: Path) -> None:
    with tarfile.open(archive) as stream:
        stream.extractall(at, filter="data")


def test_tables_of_the_archive_are_those_of_the_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    _runs(Path("output/mine"))
    assert main(["pack", "output/mine", "kept/results.tar.xz"]) == 0
    assert capsys.readouterr().out.startswith("kept/results.tar.xz: 3 results, ")
    _unpacked(tmp_path / "kept/results.tar.xz", tmp_path / "other")
    assert collect(tmp_path / "other/output/mine").equals(collect(Path("output/mine")))
    files = {file.name for file in (tmp_path / "other").rglob("*") if file.is_file()}
    assert files == {"results.json", "config.yaml", "curves.json"}  # no weights
    record = json.loads(next((tmp_path / "other").rglob("noise/**/seed1/results.json")).read_text())
    assert record["command"] == ["train.py", "--seed", "1", "--markdown", "table.md"]
    assert record["language"] == {"file": "language/descriptions/digits.json"}


def test_same_results_same_bytes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _runs(Path("output/mine"))
    main(["pack", "output/mine", "a.tar.xz"])
    for file in Path("output").rglob("*.json"):
        os.utime(file, (1, 1))
    main(["pack", "output/mine", "b.tar.xz"])
    assert Path("a.tar.xz").read_bytes() == Path("b.tar.xz").read_bytes()


def test_a_suite_takes_unpacked_runs_for_done(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["--methods", "ZeroshotCLIP", "CoOp", "--protocols", "base2new", "--datasets", "digits", "--seeds", "1"]
    suite = suite_of(STUDY, *words, output="output/mine")
    finish(suite, lambda step: 50.0)
    with_settings(suite)
    assert {found.state for found in survey(suite.runs).values()} == {"done"}
    main(["pack", "output/mine", "results.tar.xz"])
    os.rename("output", "before")
    assert {found.state for found in survey(suite.runs).values()} == {"pending"}
    _unpacked(Path("results.tar.xz"), Path("."))
    assert {found.state for found in survey(suite.runs).values()} == {"done"}


def test_what_the_suite_keeps_is_packed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _runs(Path("output/mine"))
    home = Path("output/mine/.bench")
    home.mkdir()
    for name in ("abc.done.json", "abc.failed.json", "abc.lock", "new_class_kl.json"):
        (home / name).write_text("{}")
    Path("output/mine/suite.yaml").write_text("name: mine\n")
    main(["pack", "output/mine", "a.tar.xz"])
    with tarfile.open("a.tar.xz") as stream:
        names = set(stream.getnames())
    assert {
        f"output/mine/{name}" for name in (".bench/abc.done.json", ".bench/new_class_kl.json", "suite.yaml")
    } <= names
    assert not any(name.endswith((".lock", ".failed.json")) for name in names)


def test_folders_of_this_machine_are_told(tmp_path, capsys):
    folder = folder_of(tmp_path / "output", "few_shot", "CoOp", "digits", 1)
    write_result(folder, "CoOp", "Digits", 1, 70.0, config={"OUTPUT_DIR": str(folder)})
    assert main(["pack", str(tmp_path / "output"), str(tmp_path / "a.tar.xz")]) == 0
    assert "1 result of these name absolute folders" in capsys.readouterr().err
    write_result(folder, "CoOp", "Digits", 1, 70.0, config={"DATASET": 3})  # of another project
    assert main(["pack", str(tmp_path / "output"), str(tmp_path / "a.tar.xz")]) == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere", "a.tar.xz"], "There is no folder nowhere; give the output folder of the runs."),
        (["output", "a.zip"], "a.zip does not end in .tar.xz; name the archive so."),
        (["empty", "a.tar.xz"], "There are no results under empty; run something first."),
        (["output", "file/a.tar.xz"], "file/a.tar.xz cannot be written"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    _runs(Path("output"))
    Path("empty").mkdir()
    Path("file").write_text("")
    assert main(["pack", *words]) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.tar.xz"))


def test_a_broken_result_is_named_and_left_out(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    _runs(Path("output/mine"))
    broken = next(Path("output/mine").rglob("CoOp/*/seed1/results.json"))
    broken.write_text("{")
    assert main(["pack", "output/mine", "a.tar.xz"]) == 1
    assert str(broken) in capsys.readouterr().err
    with tarfile.open("a.tar.xz") as stream:
        assert broken.as_posix() not in stream.getnames()


def test_what_needs_a_model_says_that_there_is_none(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    _runs(Path("output/mine"))
    folder = next(Path("output/mine").rglob("CoOp/*/seed1"))
    (folder / "config.yaml").write_text('# settings: {"SEED": 1}\nTRAINER: {NAME: CoOp}\n')
    main(["pack", "output/mine", "a.tar.xz"])
    _unpacked(Path("a.tar.xz"), Path("other"))
    with pytest.raises(InputError, match="was packed .* has results and settings, and no model; train it again"):
        read_run(Path("other") / folder)
