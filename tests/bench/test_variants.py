"""Ablation tables: which runs a variant stands for, and its row."""

from __future__ import annotations

import pytest
from test_table import write_run

import train
from bench.studies import sar
from bench.studies.anprompt_ablation import ROWS
from bench.studies.anprompt_ablation import main as anprompt_ablation
from bench.studies.variants import Variant, average_by_seed, jobs, row
from runs.protocols import Settings


@pytest.fixture
def output(tmp_path):
    for seed, base, new in ((1, 80.0, 60.0), (2, 84.0, 64.0)):
        for dataset, less in (("digits", 0.0), ("textures", 10.0)):
            write_run(tmp_path / "a", "train_base", "CoOp", dataset, seed, base - less)
            write_run(tmp_path / "a", "test_new", "CoOp", dataset, seed, new - less)
    write_run(tmp_path / "a", "train_base", "CoOp", "digits", 3, 99.0)  # not finished
    return tmp_path


def test_a_row_is_the_mean_over_datasets_with_its_spread_over_seeds(output):
    assert average_by_seed(output / "a", "CoOp") == {1: (75.0, 55.0), 2: (79.0, 59.0)}
    cells = row(Variant(("one", "x"), "a", "CoOp"), output)
    assert cells == ["one", "x", "77.00 ± 2.83", "57.00 ± 2.83", "65.51 ± 2.89", 2]


def test_a_seed_counts_when_all_datasets_are_there(output):
    assert average_by_seed(output / "a", "CoOp", ["digits", "textures", "letters"]) == {}
    assert row(Variant(("one",), "a", "MaPLe"), output) == ["one", "-", "-", "-", 0]


def test_datasets_that_are_not_asked_for_are_left_out(output):
    assert average_by_seed(output / "a", "CoOp", ["digits"]) == {1: (80.0, 60.0), 2: (84.0, 64.0)}


def test_jobs_go_seed_by_seed_and_each_run_once():
    same = [
        Variant(("a",), "x", "CoOp"),
        Variant(("b",), "x", "CoOp"),
        Variant(("c",), "y", "CoOp", ("K", "V"), shots=4),
    ]
    found = jobs(same, ["digits"], [1, 2], Settings(output="out", pairs=("A", "B")))
    assert [(job[0].seed, job[0].settings.output) for job in found] == [
        (1, "out/x"), (1, "out/y"), (2, "out/x"), (2, "out/y"),
    ]  # fmt: skip
    assert found[1][0].settings.pairs == ("A", "B", "K", "V") and found[1][0].settings.shots == 4
    assert [step.protocol for step in found[0]] == ["base2new_train", "base2new_test"]


@pytest.mark.parametrize("name", sar.tables())
def test_every_row_of_sars_tables_is_a_valid_config(name):
    headers, variants = sar.tables()[name]
    folders = {}
    for v in variants:
        assert len(v.cells) == len(headers)
        cfg = train.setup_cfg(train.build_parser().parse_args(["--trainer", v.method, *v.pairs]))
        assert v.method == cfg.TRAINER.NAME
        # two variants may share a folder only where their runs do not meet in it
        assert folders.setdefault((v.folder, v.method), v.pairs) == v.pairs


def test_the_steps_of_table_1():
    _, (plain, single, ensemble, sampled) = sar.tables()["ablation"]
    assert plain.method == "CoOp" and {single.method, ensemble.method, sampled.method} == {"CoOpSAR"}

    def switches(v):
        node = train.setup_cfg(train.build_parser().parse_args(["--trainer", v.method, *v.pairs])).TRAINER.SAR
        return node.ENSEMBLE, node.RANDOM_SAMPLING

    assert [switches(v) for v in (single, ensemble, sampled)] == [(False, False), (True, False), (True, True)]


def test_tables_only(output, capsys):
    assert sar.main(["ablation", "--tables-only", "--output", str(output), "--datasets", "digits"]) == 0
    assert "+ random sampling" in capsys.readouterr().out
    assert anprompt_ablation(["--tables-only", "--output", str(output), "--markdown", str(output / "t.md")]) == 0
    assert len((output / "t.md").read_text().splitlines()) == 2 + len(ROWS)
    assert sar.main(["hosts", "--datasets", "digitz", "--output", str(output)]) == 2
    assert "digits" in capsys.readouterr().err
