"""Tables from results.json files and from logs."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import stdev

import pytest
from result_files import folder_of, write_result

import parse_test_res
from bench.drawing.base_new import accuracies, harmonic_mean, rows
from bench.drawing.base_new_plot import plot
from bench.drawing.results import results
from bench.drawing.table import main
from bench.reading.collect import collect


def write_run(root: Path, part: str, method: str, dataset: str, seed: int, accuracy: float) -> Path:
    folder = root / "base2new" / part / dataset / "shots_16" / method / "cfg" / f"seed{seed}"
    folder.mkdir(parents=True)
    classes = "base" if part == "train_base" else "new"
    end = "Finish training\n" if classes == "base" else ""
    log = f"noise\n* accuracy: 1.0%\n{end}=> result\n* total: 1,000\n* accuracy: {accuracy:.1f}%\n* macro_f1: 12.0%\n"
    (folder / "log.txt").write_text(log)
    record = {"dataset": dataset, "trainer": method, "seed": seed, "subsample_classes": classes,
              "results": {"accuracy": accuracy, "macro_f1": 12.0}}  # fmt: skip
    (folder / "results.json").write_text(json.dumps(record))
    return folder


@pytest.fixture
def output(tmp_path) -> Path:
    for seed, base, new in ((1, 80.04, 60.0), (2, 82.0, 62.0), (3, 84.0, 58.0)):
        write_run(tmp_path, "train_base", "CoOp", "digits", seed, base)
        write_run(tmp_path, "test_new", "CoOp", "digits", seed, new)
        write_run(tmp_path, "train_base", "CoOp", "shapes", seed, base / 2)
        write_run(tmp_path, "test_new", "CoOp", "shapes", seed, new / 2)
    return tmp_path


def test_harmonic_mean_of_the_means(output):
    table = {(row[0], row[1]): row[2:] for row in rows(accuracies(collect(output), []))}
    base, new = (80.04 + 82 + 84) / 3, 60.0
    assert table["Digits", "CoOp"][0].startswith("82.01 ± ")
    by_seed = [2 * b * n / (b + n) for b, n in ((80.04, 60), (82, 62), (84, 58))]
    assert table["Digits", "CoOp"][2] == f"{2 * base * new / (base + new):.2f} ± {stdev(by_seed):.2f}"
    assert table["average of 2", "CoOp"] == [
        f"{0.75 * base:.2f} ± {0.75 * stdev([80.04, 82, 84]):.2f}", "45.00 ± 1.50",
        f"{0.75 * 2 * base * new / (base + new):.2f} ± {0.75 * stdev(by_seed):.2f}", "3",
    ]  # fmt: skip
    assert harmonic_mean(0, 0) == 0


def test_an_average_is_over_the_seeds_that_have_every_dataset(output):
    for seed in (1, 3):
        (output / f"base2new/test_new/shapes/shots_16/CoOp/cfg/seed{seed}/results.json").unlink()
    table = {(row[0], row[1]): row[2:] for row in rows(accuracies(collect(output), []))}
    assert table["average of 2", "CoOp"] == ["61.50", "46.50", f"{2 * 61.5 * 46.5 / 108:.2f}", "1"]  # seed 2
    (output / "base2new/test_new/digits/shots_16/CoOp/cfg/seed2/results.json").unlink()
    table = {(row[0], row[1]): row[2:] for row in rows(accuracies(collect(output), []))}
    assert table["average of 2", "CoOp"][::3] == [f"{(82.02 + 41) / 2:.2f}", ""]  # no seed has both: of the means


def test_unfinished_runs_are_left_out(output):
    (output / "base2new/test_new/digits/shots_16/CoOp/cfg/seed3/results.json").unlink()
    assert next(row for row in rows(accuracies(collect(output), [])) if row[0] == "Digits")[-1] == "2"


def test_markdown_and_plot(output, tmp_path, capsys):
    assert main([str(output), "--markdown", str(tmp_path / "t.md"), "--plot", str(tmp_path / "t.png")]) == 0
    assert "Digits" in capsys.readouterr().out
    assert "| Digits" in (tmp_path / "t.md").read_text()
    assert (tmp_path / "t.png").stat().st_size > 5000
    plot(accuracies(collect(output), []), tmp_path / "t.pdf")
    assert main([str(tmp_path / "none")]) == 2


def test_parser_reads_logs_as_coops_does(output, capsys):
    folder = output / "base2new/train_base/digits/shots_16/CoOp/cfg"
    assert parse_test_res.main([str(folder)]) == 0
    text = capsys.readouterr().out
    assert "* accuracy: 82.00% +- 1.63%" in text and "1.00%" not in text.replace("+-", "")
    assert parse_test_res.main([str(folder), "--exact"]) == 0
    assert "* accuracy: 82.01% +- 1.62%" in capsys.readouterr().out
    assert parse_test_res.main([str(folder), "--keyword", "macro_f1", "--ci95"]) == 0
    assert "* macro_f1: 12.00% +- 0.00%" in capsys.readouterr().out


def test_parser_knows_test_logs(output, capsys):
    folder = output / "base2new/test_new/digits/shots_16/CoOp/cfg"
    assert parse_test_res.main([str(folder)]) == 2  # these logs have no "Finish training"
    assert "--test-log" in capsys.readouterr().err
    assert parse_test_res.main([str(folder), "--test-log"]) == 0
    assert "* accuracy: 60.00% +- 1.63%" in capsys.readouterr().out
    above = folder.parent
    assert parse_test_res.main([str(above), "--test-log", "--multi-exp"]) == 0
    assert "over 1 experiment: 60.00%" in capsys.readouterr().out


def test_base_new_tables_are_made_of_collected_rows(tmp_path):
    """A variant is no row; a run of all classes is none of the halves; several backbones and configs are told apart."""
    about = {"subsample_classes": "base"}
    for seed, backbone in ((1, "ViT-B/16"), (2, "RN50")):
        folder = folder_of(tmp_path, "base2new_train", "CoOp", "digits", seed)
        write_result(folder, "CoOp", "Digits", seed, 80.0, backbone={"name": backbone}, **about)
    write_result(folder_of(tmp_path, "base2new_train", "CoOp", "digits", 3), "CoOp", "Digits", 3, 70.0)
    for cfg in ("one", "two"):
        folder = folder_of(tmp_path, "base2new_train", "VPT", "letters", 1, cfg=cfg)
        write_result(folder, "VPT", "Letters", 1, 60.0, **about)
    folder = folder_of(tmp_path / "variants" / "x", "base2new_train", "KgCoOp", "letters", 1)
    write_result(folder, "KgCoOp", "Letters", 1, 50.0, **about)
    found = results(collect(tmp_path))
    assert [(r.name, r.method, r.accuracy) for r in found] == [
        ("Digits", "CoOp (RN50)", 80.0),
        ("Digits", "CoOp (ViT-B/16)", 80.0),
        ("Digits", "CoOp (ViT-B/16, all classes)", 70.0),
        ("Letters", "VPT (one, 16 shots)", 60.0),
        ("Letters", "VPT (two, 16 shots)", 60.0),
    ]
