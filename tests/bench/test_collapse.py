"""Runs whose class features collapsed: marked in every table, counted below it, named by `status`."""

from __future__ import annotations

import json
import re
from argparse import Namespace
from importlib import import_module

import pandas as pd
import pytest
from result_files import folder_of, write_result
from study_runs import finish, suite_of
from test_adversarial import write as write_attacked_runs

from bench.__main__ import main as bench
from bench.commands import status
from bench.drawing.collapse import MARK, caption, marked
from bench.drawing.table import main as table_main
from bench.reading.aggregate import aggregate, average
from bench.running import state
from bench.studies import door
from dassl.utils.spread import Marked, mean, shown


def frame(fell: list, **columns) -> pd.DataFrame:
    """Rows of `collect`, one a seed, of a method on digits with the accuracies 10, 20, ..."""
    count = len(fell)
    row = {"protocol": "noise", "part": "all", "method": "CoOp", "dataset": "digits", "source": "", "shots": 16,
           "cfg": "embedded", "variant": "", "settings": "", "noise_type": "sym_other", "noise_rate": 0.8,
           "attack": "", "mode": "", "condition": "", "backbone": "Embedded"} | columns  # fmt: skip
    made = pd.DataFrame({key: [value] * count for key, value in row.items()})
    made = made.assign(seed=range(1, count + 1), accuracy=[10.0 * (i + 1) for i in range(count)])
    return made.assign(collapsed=pd.array(fell, dtype="boolean"))


def test_a_mark_goes_through_means_into_the_cell():
    one = Marked(10.0, MARK)
    assert shown([one, 20.0, 30.0]) == f"20.00 ± 10.00 {MARK}" and shown([10.0, 20.0, 30.0]) == "20.00 ± 10.00"
    assert shown([mean([one, 20.0]), 15.0]) == f"15.00 ± 0.00 {MARK}" and type(mean([10.0, 20.0])) is float


def test_rows_that_do_not_say_have_no_mark():
    assert [type(x) for x in marked(frame([True, False, None]))] == [Marked, float, float]
    assert caption(frame([None, False])) == "" == caption(frame([None]).drop(columns="collapsed"))


def test_the_caption_counts_seeds_of_each_number():
    other = frame([False, False], method="PTNL", noise_rate=0.0)
    line = caption(pd.concat([frame([True, False, True]), other]))
    assert line.startswith(f"{MARK}: ") and line.endswith("CoOp on digits sym_other 80 %: 2 of 3 seeds collapsed.")
    moved = frame(
        [True], protocol="cross_dataset", part="target", source="shapes", noise_type="", noise_rate=float("nan")
    )
    assert "CoOp on digits from shapes: 1 of 1 seed collapsed." in caption(moved)


def test_means_keep_the_accuracy_and_count_the_seeds():
    (row,) = aggregate(frame([True, False, None])).to_dict("records")
    assert (row["mean"], row["n"], row["collapsed"]) == (20.0, 3, 1)
    both = pd.concat([frame([True, False]), frame([False, False], dataset="letters")])
    (row,) = average(both, ["digits", "letters"]).to_dict("records")
    assert (row["mean"], row["n"], row["collapsed"]) == (15.0, 2, 1)
    (row,) = aggregate(frame([True]).drop(columns="collapsed")).to_dict("records")
    assert row["collapsed"] == 0


def test_of_base_and_new_either_half_counts():
    halves = [
        frame(fell, protocol="base2new", part=part) for part, fell in (("base", [True, False]), ("new", [False] * 2))
    ]
    found = aggregate(pd.concat(halves)).set_index("part")["collapsed"].to_dict()
    assert found == {"base": 1, "new": 0, "hm": 1}


# ---------------------------------------------------------------------- every command

SEEDS = ("--seeds", "1", "2")
STUDIES = {
    "base2new": ("CoOp", "--methods", "CoOp", "--datasets", "digits"),
    "generalization": ("CoOp", "--methods", "CoOp", "--datasets", "digits", "letters"),
    "noise": ("CoOp", "--methods", "CoOp", "--datasets", "digits", "--types", "sym_other:0.8"),
    "noise_xd": ("CoOp", "--methods", "CoOp", "--targets", "digits", "letters", "--rates", "0.5"),
    "sar": ("CoOp", "ablation", "--datasets", "digits", "letters"),
    "anprompt_ablation": ("ANPrompt", "--datasets", "digits"),
    "dpsep_ablation": ("DPSEP", "--datasets", "digits", "--types", "sym_other:0.8"),
    "adversarial": ("CoOp", "--methods", "CoOp", "--datasets", "digits", "--attacks", "pgd", "--eps", "1"),
}


def finished(name: str, output):
    """Finished runs of a study, of which the first method's with seed 1 collapsed: (study, words of its command)."""
    study = import_module(f"bench.studies.{name}").STUDY
    method, *words = STUDIES[name]
    words = [*words, *SEEDS]
    suite = suite_of(study, *words, output=output)
    if name == "adversarial":
        write_attacked_runs(suite, lambda *about: 50.0 + about[-1])
    else:
        finish(suite, lambda step: 50.0 + step.seed)
    for file in output.rglob("results.json"):
        record = json.loads(file.read_text())
        fell = record["trainer"] == method and record["seed"] == 1
        file.write_text(json.dumps(record | {"class_feature_distance": 0.0 if fell else 0.2, "collapsed": fell}))
    return study, [*words, "--output", str(output)]


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_marks_the_cells_and_counts_the_seeds(name, tmp_path, capsys):
    study, words = finished(name, tmp_path / "out")
    page = tmp_path / "page.md"
    door.main(study, [*words, "--tables-only", "--markdown", str(page)])
    for text in (capsys.readouterr().out, page.read_text()):
        assert re.search(rf"± 0\.71? {MARK}", text) or re.search(rf"± 0\.7 {MARK}", text), text
        assert re.search(r"1 of 2 seeds collapsed", text), text


def test_table_collect_and_report(tmp_path, capsys):
    output = tmp_path / "out"
    finished("base2new", output)
    assert table_main([str(output)]) == 0
    out = capsys.readouterr().out
    assert f"51.50 ± 0.71 {MARK}" in out and "CoOp on digits base: 1 of 2 seeds collapsed" in out
    csv, means, html = (tmp_path / each for each in ("all.csv", "means.csv", "page.html"))
    assert bench(["collect", str(output), "--csv", str(csv), "--means", str(means)]) == 0
    assert pd.read_csv(csv).groupby("seed")["collapsed"].all().to_dict() == {1: True, 2: False}
    assert set(pd.read_csv(means)["collapsed"]) == {1}
    assert bench(["report", str(output), "--output", str(html)]) == 0
    page = html.read_text(encoding="utf-8")
    assert f"51.50 {MARK}" in page and "1 of 2 seeds collapsed" in page and f"51.00 {MARK}" in page


def test_a_comparison_marks_ours_in_every_form(tmp_path, capsys):
    for seed in (1, 2):
        folder = folder_of(tmp_path, "base2new_train", "CoOp", "dtd", seed)
        about = {"subsample_classes": "base", "collapsed": seed == 1}
        write_result(folder, "CoOp", "DescribableTextures", seed, 80.0 + seed, **about)
    mark = {"terminal": MARK, "markdown": MARK, "latex": r"$\ddagger$"}
    for form, sign in mark.items():
        bench(["compare", str(tmp_path), "--paper", "sar", "--found", "--format", form])
        out = capsys.readouterr().out
        assert f"(2) {sign}" in out or f"(2) {sign}" in out.replace("\\", ""), out
        assert "1 of 2 seeds collapsed" in out


def test_status_names_runs_that_are_done_but_collapsed(tmp_path, monkeypatch, capsys):
    study, _ = finished("base2new", tmp_path)
    suite = suite_of(study, *STUDIES["base2new"][1:], *SEEDS, output=tmp_path)
    monkeypatch.setattr(state, "expected_hash", lambda run, step, record: record["settings_hash"])
    monkeypatch.setattr(status, "open_suite", lambda args: suite)
    status.run(Namespace(all=False, suite="suite.yaml"))
    out = capsys.readouterr().out
    (fell,) = (run for run in suite.runs if run.seed == 1)
    assert "2 done (1 of them collapsed)" in out and "done, but collapsed" in out
    assert fell.id in out and str(fell.folders[0]) in out and out.count("but collapsed") == 1
