"""One ±: the same runs print the same spread wherever they are printed, and nothing else computes one."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pandas as pd
import pytest
from result_files import folder_of, write_result
from study_runs import suite_of

from bench.__main__ import main as bench
from bench.drawing import report, table
from bench.drawing.results import results
from bench.drawing.summary import Scope
from bench.drawing.training_curves import Curves, over_seeds
from bench.reading.collect import collect
from bench.studies import base2new, noise
from bench.studies.ablation import section
from bench.studies.noise_tables import tables
from bench.studies.rows import rows_of
from dassl.utils.spread import DEVIATION, INTERVAL, deviation, half_width, plus_minus, shown

ROOT = Path(__file__).parents[2]
BASE, NEW = (97.1, 98.4, 99.2), (88.0, 91.5, 90.3)
SHOWN = {"base": "98.23 ± 1.06", "new": "89.93 ± 1.78"}  # by hand: the population's would be 0.86 and 1.45
WIDTHS = {"base": "98.23 ± 2.63", "new": "89.93 ± 4.42"}  # 4.302653 / sqrt(3) of the deviations


@pytest.fixture
def output(tmp_path) -> Path:
    """Base-to-new of one method and dataset, three seeds; the base accuracies under label noise, too."""
    for seed, values in enumerate(zip(BASE, NEW, strict=True), start=1):
        for part, half, value in zip(("base2new_train", "base2new_test"), ("base", "new"), values, strict=True):
            folder = folder_of(tmp_path / "out", part, "CoOp", "caltech101", seed)
            write_result(folder, "CoOp", "Caltech101", seed, value, subsample_classes=half)
        noisy = folder_of(tmp_path / "noisy", "noise_train", "CoOp", "caltech101", seed, pairs=("sym_other", "0.5"))
        noise = {"type": "sym_other", "rate": 0.5, "sha256": str(seed)}
        write_result(noisy, "CoOp", "Caltech101", seed, values[0], noise=noise)
    return tmp_path / "out"


def printed(command: list[str], capsys) -> str:
    assert bench(command) == 0
    return re.sub(r"\s+", " ", capsys.readouterr().out)


def test_numbers_by_hand():
    assert deviation([80, 82, 87]) == pytest.approx(math.sqrt(13))
    # Student's t, 97.5 %: 12.706205 with one degree of freedom, 4.302653 with two
    assert half_width([80, 82]) == pytest.approx(12.706205 * math.sqrt(2) / math.sqrt(2), rel=1e-6)
    assert half_width([80, 82, 87]) == pytest.approx(4.302653 * math.sqrt(13 / 3), rel=1e-6)
    assert shown([80, 82]) == "81.00 ± 1.41" and shown([80, 82], 1, interval=True) == "81.0 ± 12.7"
    assert math.isnan(deviation([80])) and math.isnan(half_width([80])) and math.isnan(deviation([]))
    assert shown([80]) == plus_minus(80, math.nan) == "80.00" and shown([]) == "-"


@pytest.mark.parametrize(("option", "words", "cells"), [((), DEVIATION, SHOWN), (("--interval",), INTERVAL, WIDTHS)])
def test_table_compare_and_report_print_the_same(output, tmp_path, capsys, option, words, cells):
    assert table.main([str(output), *option, "--markdown", str(tmp_path / "t.md")]) == 0
    for text in (capsys.readouterr().out, (tmp_path / "t.md").read_text(encoding="utf-8")):
        assert all(cell in text for cell in cells.values()) and words in text
    about = ["--paper", "anprompt", "--table", "1", "--datasets", "caltech101", "--found"]
    text = printed(["compare", str(output), *about, *option], capsys)
    assert all(cell in text for cell in cells.values()) and words in text
    page = tmp_path / "page.html"
    printed(["report", str(output), "--output", str(page), *option], capsys)
    text = re.sub("<[^>]*>", "", page.read_text(encoding="utf-8")).replace("&#x27;", "'")
    assert all(cell.replace(" ", "") in text for cell in cells.values()) and words in text


def test_summary_studies_and_collected_means_print_the_same(output, tmp_path, capsys):
    first = report.sections(results(collect(output)), Scope("caltech101"))[0]
    assert first.rows[0][1:3] == list(SHOWN.values()) and DEVIATION in first.note
    words = ["--methods", "CoOp", "--datasets", "caltech101"]
    suite = suite_of(base2new.STUDY, *words, output=output)
    rows = section(rows_of(suite, [], checked=False), suite, [(("one",), "base2new", "CoOp")], ["row"], "").rows
    assert rows[0][1:3] == list(SHOWN.values())
    suite = suite_of(noise.STUDY, *words, "--types", "sym_other:0.5", output=tmp_path / "noisy")
    (found,), _ = tables(rows_of(suite, [], checked=False), noise.name_of)
    assert found.rows()[0][1] == SHOWN["base"]
    means = tmp_path / "means.csv"
    printed(["collect", str(output), "--means", str(means)], capsys)
    read_back = pd.read_csv(means).set_index("part")
    assert {part: plus_minus(*read_back.loc[part, ["mean", "std"]]) for part in SHOWN} == SHOWN
    assert {part: plus_minus(*read_back.loc[part, ["mean", "ci95"]]) for part in SHOWN} == WIDTHS


def test_bands_of_training_curves():
    runs = [Curves([1, 2], [value, 2 * value], {}) for value in BASE]
    _, mean, spread = over_seeds(runs)
    assert [plus_minus(mean[0], spread[0])] == [SHOWN["base"]] and spread[1] == pytest.approx(2 * spread[0])
    assert all(math.isnan(value) for value in over_seeds(runs[:1])[2])


def test_no_other_code_computes_a_spread_over_seeds():
    own = re.compile(r"\bp?stdev\b|\bp?variance\b|\.(std|var|sem)\(|\bddof\b|population (standard )?deviation")
    files = [*(ROOT / "bench").rglob("*.py"), *(ROOT / "bench").rglob("*.js")]
    assert len(files) > 60
    found = {str(file.relative_to(ROOT)) for file in files if own.search(file.read_text(encoding="utf-8"))}
    assert not found
