"""Base and new classes under attack, and other datasets: the runs of a block, and the tables of their results."""

from __future__ import annotations

import re

import pytest
import yaml
from result_files import write_attacked, write_result
from study_runs import suite_of

from bench.__main__ import main as bench
from bench.reading.aggregate import aggregate
from bench.reading.collect import collect
from bench.reading.layout import names_of_configs
from bench.studies.adversarial_base2new import STUDY, main, sections
from bench.suites.robust_step import RobustStep
from bench.suites.suite import read_suite

WORDS = ["--methods", "CoOp", "ZeroshotCLIP", "--datasets", "digits", "textures", "--eps", "4", "--seeds", "1", "2"]
CLEAN, ATTACKED = {"base": 80.0, "new": 60.0}, {"base": 30.0, "new": 10.0}


def half(folder) -> str:
    return next(part for part in folder.parts if part in ("base", "new"))


def finish(suite) -> None:
    """Pretends that all is finished; textures stand 4 points above digits, seed 2 two points above seed 1."""
    for run in suite.runs:
        for step, folder in zip(run.job, run.folders, strict=True):
            name = names_of_configs()[step.dataset]
            if not isinstance(step, RobustStep):
                write_result(folder, step.method, name, step.seed, 50.0, subsample_classes="base")
                continue
            more = 4 * (step.dataset == "textures") + 2 * (step.seed == 2)
            clean, own = CLEAN[half(folder)] + more, ATTACKED[half(folder)] + more
            write_attacked(folder, step.method, name, step.seed, step.mode, clean=clean, own=own, transfer=own)


def test_a_training_serves_both_halves_and_all_attacks(tmp_path):
    suite = suite_of(STUDY, *WORDS, "--eps", "1", "4", output=tmp_path)
    trained = [run for run in suite.runs if run.method == "CoOp"]
    assert len(trained) == 4  # two sets, two seeds
    for run in trained:
        assert [step.protocol for step in run.job] == ["base2new_train", *["robust"] * 4]
        assert [half(folder) for folder in run.folders[1:]] == ["base", "base", "new", "new"]
        assert len(set(run.folders)) == 5
        assert not any("ATTACK" in word for word in run.job[0].settings.pairs)


def test_the_tables_have_clean_and_robust_means(tmp_path, capsys):
    suite = suite_of(STUDY, *WORDS, output=tmp_path)
    finish(suite)
    frame = collect(tmp_path)
    assert set(frame[frame["protocol"] == "robust_base2new"]["part"]) == {"base", "new"}
    digits, textures, average = sections(frame[frame["protocol"] == "robust_base2new"])
    assert [s.title.rpartition(", ")[2] for s in (digits, textures, average)] == ["digits", "textures", "average of 2"]
    assert digits.headers[1:7] == ["clean Base", "clean New", "clean HM", "robust Base", "robust New", "robust HM"]
    (row,) = [row for row in digits.rows if row[0] == "CoOp"]
    assert row[1:3] + row[4:6] == ["81.00 ± 1.41", "61.00 ± 1.41", "31.00 ± 1.41", "11.00 ± 1.41"]
    clean, robust = 2 * 81 * 61 / 142, 2 * 31 * 11 / 42
    assert row[3].startswith(f"{clean:.2f} ±") and row[6].startswith(f"{robust:.2f} ±") and row[7] == "2"
    (row,) = [row for row in average.rows if row[0] == "CoOp"]
    assert row[1] == "83.00 ± 1.41" and row[4] == "33.00 ± 1.41"
    assert main([*WORDS, "--tables-only", "--output", str(tmp_path)]) == 0
    assert re.search(r"CoOp .* 31.00 ± 1.41", capsys.readouterr().out)


def test_the_harmonic_mean_of_attacked_accuracies(tmp_path):
    finish(suite_of(STUDY, *WORDS, output=tmp_path))
    means = aggregate(collect(tmp_path), "adv_accuracy")
    ((_, row),) = means[
        (means["part"] == "hm") & (means["method"] == "CoOp") & (means["dataset"] == "digits")
    ].iterrows()
    assert row["mean"] == pytest.approx(2 * 31 * 11 / 42) and row["n"] == 2


def test_the_report_has_a_table_of_both_halves(tmp_path):
    finish(suite_of(STUDY, *WORDS, output=tmp_path / "runs"))
    assert bench(["report", str(tmp_path / "runs"), "--output", str(tmp_path / "page.html")]) == 0
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Base and new classes, clean and under attack" in page and "HM attacked" in page


def test_other_datasets_under_attack(tmp_path):
    tree = {"name": "away", "output": str(tmp_path / "runs"), "seeds": [1], "blocks": [{
        "protocol": "adversarial_cross_dataset", "methods": ["CoOp", "ZeroshotCLIP", "LPpp"], "source": "shapes",
        "datasets": ["digits"], "eps": 4, "steps": 10, "modes": ["W"]}]}  # fmt: skip
    (tmp_path / "away.yaml").write_text(yaml.safe_dump(tree))
    suite = read_suite(tmp_path / "away.yaml")
    jobs = {run.method: run for run in suite.runs if run.method != "ZeroshotCLIP"}
    assert [step.dataset for step in jobs["CoOp"].job] == ["shapes", "shapes", "digits"]
    assert [step.dataset for step in jobs["LPpp"].job] == ["shapes", "shapes"]  # it knows no other classes
    for run in suite.runs:
        for step, folder in zip(run.job, run.folders, strict=True):
            name = names_of_configs()[step.dataset]
            if isinstance(step, RobustStep):
                write_attacked(folder, step.method, name, 1, step.mode, clean=70.0, own=20.0, transfer=30.0)
            else:
                write_result(folder, step.method, name, 1, 50.0)
    frame = collect(tmp_path / "runs")
    found = frame[(frame["protocol"] == "robust_cross_dataset") & (frame["method"] == "CoOp")]
    assert dict(zip(found["dataset"], found["part"], strict=True)) == {"shapes": "source", "digits": "target"}
    assert set(found["source"]) == {"shapes"} and set(found["adv_accuracy"]) == {20.0}
