"""Commands that find nothing to show end alike: one sentence and exit code 2. A study's tables are those of its run."""

from __future__ import annotations

import importlib

import pytest
from result_files import folder_of, write_result
from test_go_ahead import LONG, SHORT, started

import parse_test_res
from bench.__main__ import main as bench
from bench.drawing import table
from bench.studies import noise_analysis
from dassl.utils.counted import counted

__all__ = ["started"]
STUDIES = [*LONG, *SHORT]
COMMANDS = {
    "table": lambda out: table.main([out]),
    "collect": lambda out: bench(["collect", out]),
    "compare": lambda out: bench(["compare", out]),
    "report": lambda out: bench(["report", out]),
    "noise_analysis": lambda out: noise_analysis.main([out]),
    "parse_test_res": lambda out: parse_test_res.main([out]),
} | {name: lambda out, name=name: study(name, "--tables-only", "--output", out) for name in STUDIES}


def study(name: str, *words: str) -> int:
    return importlib.import_module(f"bench.studies.{name}").main([*(LONG | SHORT)[name], *words])


@pytest.mark.parametrize("name", COMMANDS)
def test_an_empty_folder(name, tmp_path, capsys):
    assert COMMANDS[name](str(tmp_path)) == 2
    out, error = capsys.readouterr()
    assert error.startswith("error: ") and error.count("\n") == 1 and str(tmp_path) in error
    assert not out.strip() or name == "parse_test_res"  # which says first what it reads, as CoOp's does
    assert list(tmp_path.iterdir()) == []


def test_published_numbers_without_ours(tmp_path, capsys):
    write_result(folder_of(tmp_path, "few_shot", "CoOp", "digits", 1), "CoOp", "Digits", 1, 50.0)
    assert bench(["compare", str(tmp_path), "--paper", "sar", "--found"]) == 2
    assert "None of these published numbers" in capsys.readouterr().err


def test_tables_are_of_the_suite_that_was_run(started, tmp_path, capsys):
    """Without its options; with options, of what these say. The newest suite of the study counts."""
    words = ["--methods", "CoOp", "--datasets", "textures", "--types", "pair_next:0.25", "--output", str(tmp_path)]
    study("noise", "run", *words, "--seeds", "3")
    study("base2new", "--output", str(tmp_path), "--seeds", "1")
    (tmp_path / "suite-3.yaml").write_text("name: another\n")
    folder = folder_of(tmp_path, "noise_train", "CoOp", "textures", 3, ("pair_next", "0.25"))
    about = {"type": "pair_next", "rate": 0.25, "sha256": "ab"}
    write_result(folder, "CoOp", "Textures", 3, 43.21, noise=about)
    capsys.readouterr()
    assert study("noise", "--tables-only", "--output", str(tmp_path)) == 0
    out = capsys.readouterr().out
    assert "43.21" in out and "Textures, pairs" in out
    assert study("noise", "--tables-only", "--output", str(tmp_path), "--datasets", "letters") == 2
    moved = tmp_path.rename(tmp_path.with_name(f"{tmp_path.name}_moved"))
    assert study("noise", "--tables-only", "--output", str(moved)) == 0
    assert "43.21" in capsys.readouterr().out


@pytest.mark.parametrize("name", STUDIES)
def test_help_says_what_the_environment_does(name, capsys):
    with pytest.raises(SystemExit):
        study(name, "--help")
    text = capsys.readouterr().out
    assert all(word in text for word in ("SHOTS", "CFG", "PLUGIN_CFG", "DATA"))


def test_one_run_is_no_runs():
    assert [counted(n, "run") for n in (0, 1, 2)] == ["0 runs", "1 run", "2 runs"]
