"""Ablation tables: which runs a row stands for, and its numbers."""

from __future__ import annotations

import pytest
from study_runs import finish, suite_of

import train
from bench.studies import anprompt_ablation, base2new, door, sar
from bench.studies.ablation import section
from bench.studies.anprompt_ablation import ROWS
from bench.studies.rows import rows_of

BASE = {"base2new_train": 20.0}  # more than new


def accuracy(step) -> float:
    """Of digits base 80 and new 60, of textures 10 less; seed 2 has 4 more."""
    return 60.0 + BASE.get(step.protocol, 0.0) - 10 * (step.dataset == "textures") + 4 * (step.seed == 2)


def rows(suite, table="hosts"):
    return section(rows_of(suite, [], checked=False), suite, sar.TABLES[table][1], ["host", "SAR"], "").rows


@pytest.fixture
def suite(tmp_path):
    made = suite_of(sar.STUDY, "hosts", "--datasets", "digits", "textures", "--seeds", "1", "2", output=tmp_path)
    finish(made, accuracy)
    return made


def result(suite, method: str, dataset: str, seed: int, step: int):
    (run,) = (r for r in suite.runs if (r.method, r.dataset, r.seed) == (method, dataset, seed))
    return run.folders[step] / "results.json"


def test_a_row_is_the_mean_over_datasets_with_its_spread_over_seeds(suite):
    # 75 and 79, 55 and 59; HM of each seed 63.46 and 67.55
    assert rows(suite)[0] == ["CoOp", "", "77.00 ± 2.83", "57.00 ± 2.83", "65.51 ± 2.89", "2"]
    assert len(rows(suite)) == 10 and rows(suite)[1][:2] == ["CoOp", "x"]


def test_a_seed_counts_when_all_datasets_have_base_and_new(suite):
    result(suite, "CoOp", "textures", 2, 1).unlink()
    assert rows(suite)[0] == ["CoOp", "", "75.00", "55.00", "63.46", "1"]
    result(suite, "CoOp", "textures", 1, 0).unlink()
    assert rows(suite)[0] == ["CoOp", "", "-", "-", "-", "0"]


def test_a_study_has_each_run_once_and_untrained_methods_one_seed(monkeypatch):
    monkeypatch.delenv("OUTPUT", raising=False)
    made = suite_of(base2new.STUDY, "--methods", "zeroshotclip", "CoOp", "--datasets", "digits", "--seeds", "1", "2")
    assert [(r.method, r.dataset, r.seed) for r in made.runs] == [
        ("ZeroshotCLIP", "digits", 1), ("CoOp", "digits", 1), ("CoOp", "digits", 2),
    ]  # fmt: skip
    assert [step.protocol for step in made.runs[0].job] == [
        "base2new_train",
        "base2new_test",
    ] and made.name == "base2new"
    args = door.parse(base2new.STUDY, [])
    assert (made.name, args.output) == ("base2new", "output"), "where the scripts have their runs"


@pytest.mark.parametrize("name", sar.TABLES)
def test_every_row_of_sars_tables_has_runs_with_a_valid_config(name):
    headers, settings = sar.TABLES[name]
    made = suite_of(sar.STUDY, name, "--datasets", "digits", "--seeds", "1")
    assert {(run.block, run.method) for run in made.runs} == {(block, method) for _, block, method in settings}
    assert all(len(cells) == len(headers) for cells, *_ in settings)
    assert len({run.folders for run in made.runs}) == len(made.runs)
    for run in made.runs:
        assert run.method == train.setup_cfg(train.build_parser().parse_args(run.job[0].planned(1))).TRAINER.NAME


def test_the_steps_of_table_1():
    made = {run.block: run for run in suite_of(sar.STUDY, "ablation", "--datasets", "digits", "--seeds", "1").runs}

    def switches(block):
        argv = made[block].job[0].planned(1)
        node = train.setup_cfg(train.build_parser().parse_args(argv)).TRAINER.SAR
        return node.ENSEMBLE, node.RANDOM_SAMPLING

    assert [switches(block) for block in ("single", "ensemble", "hosts")] == [
        (False, False),
        (True, False),
        (True, True),
    ]


def test_the_rows_of_anprompts_ablation():
    made = suite_of(anprompt_ablation.STUDY, "--datasets", "digits", "--seeds", "1", output="out")
    assert [run.block for run in made.runs] == list(ROWS)
    for run in made.runs:
        node = train.setup_cfg(train.build_parser().parse_args(run.job[0].planned(1))).TRAINER.ANPROMPT
        assert [bit == "1" for bit in run.block] == [node.TEXT_NOISE, node.WA_LOSS, node.ANTI_PROMPT]
        assert (node.ROBUST_LOGITS == "rep") is (run.block == "000")
        assert run.folders[0].parts[:3] == ("out", run.block, "base2new"), "where the command always had them"


def test_tables_only(tmp_path, capsys):
    output = ["--output", str(tmp_path), "--datasets", "digits", "--tables-only"]
    assert sar.main(["ablation", *output]) == 2 and "no finished runs" in capsys.readouterr().err
    words = ["--datasets", "digits", "--seeds", "1"]
    finish(suite_of(sar.STUDY, "ablation", *words, output=tmp_path), accuracy)
    finish(suite_of(anprompt_ablation.STUDY, *words, output=tmp_path), accuracy)
    assert sar.main(["ablation", *output]) == 0
    assert "+ random sampling" in capsys.readouterr().out
    assert anprompt_ablation.main([*output, "--markdown", str(tmp_path / "t.md")]) == 0
    assert sum(line.startswith("| ") for line in (tmp_path / "t.md").read_text().splitlines()) == 1 + len(ROWS)
    assert sar.main(["hosts", "--datasets", "digitz", "--output", str(tmp_path)]) == 2
    assert "digits" in capsys.readouterr().err
