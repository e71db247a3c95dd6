"""`bench score`: the figures of finished runs without a model, of other predictions, and of pairs."""

from __future__ import annotations

import csv
import io
import json
import shutil

import numpy as np
import pytest
from helpers import Tiny as TinySet  # noqa: F401  registers the dataset

from bench.__main__ import main
from dassl.metrics.paired import mcnemar
from dassl.outputs.kept import sha256
from dassl.outputs.scores import TITLES

ALL = {"DATASET.SUBSAMPLE_CLASSES": "all", "TEST.OUTPUTS": "logits"}


@pytest.fixture(scope="module")
def runs(tiny, tmp_path_factory):
    """Finished runs: methods with one answer and with several, logits and top five, and one on validation images."""
    top = tmp_path_factory.mktemp("score")
    for method in ("CoOp", "MMRL", "TPT"):
        few = {"TRAINER.TTA.N_VIEWS": 6} if method == "TPT" else {}
        flags = ("--eval-only",) if method == "TPT" else ()
        assert tiny.run(top / "runs" / method / "seed1", method, flags, ALL | few) == 0
    trained = ("--eval-only", "--model-dir", top / "runs" / "CoOp" / "seed1", "--load-epoch", 3)
    assert tiny.run(top / "top5", "CoOp", trained, ALL | {"TEST.OUTPUTS": "top5"}) == 0
    assert tiny.run(top / "none", "CoOp", trained, ALL | {"TEST.OUTPUTS": "none"}) == 0
    assert tiny.run(top / "val", "CoOp", trained, ALL | {"TEST.SPLIT": "val"}) == 0
    return top


def record(folder):
    return json.loads((folder / "results.json").read_text())


def scored(capsys, *words):
    """(exit code, rows as of --format json, what it wrote to stderr)."""
    code = main(["score", *map(str, words), "--format", "json"])
    said = capsys.readouterr()
    return code, json.loads(said.out) if said.out else [], said.err


def test_the_figures_are_the_runs_own_to_the_last_digit(runs, capsys):
    code, rows, _ = scored(capsys, runs / "runs", "--answers")
    assert code == 0 and [(r["run"], r["answer"]) for r in rows] == [
        ("CoOp/seed1", ""), ("MMRL/seed1", "fused"), ("MMRL/seed1", "class_feature"), ("TPT/seed1", ""),
        ("TPT/seed1", "before"),
    ]  # fmt: skip
    for row in rows:
        own = record(runs / "runs" / row["run"])
        further = row["answer"] in ("class_feature", "before")
        told = own["other_scores"][row["answer"]] if further else own["scores"]
        assert {key: row[key] for key in TITLES} == told
        if not further:
            assert (row["accuracy"], row["macro_f1"]) == (own["results"]["accuracy"], own["results"]["macro_f1"])
        if row["answer"] == "class_feature":
            assert row["accuracy"] == own["other_accuracies"]["class_feature"]
    assert rows[4]["accuracy"] == record(runs / "runs" / "TPT" / "seed1")["test_time"]["accuracy_before"]


def test_top5_has_all_figures_but_one(runs, capsys):
    _, (few,), _ = scored(capsys, runs / "top5")
    _, (whole,), _ = scored(capsys, runs / "runs" / "CoOp")
    assert whole.keys() - few.keys() == {"classwise_ece"}
    assert all(few[key] == whole[key] for key in few if key != "run")


def test_outputs_change_no_result_and_identify_no_run(runs):
    found = [record(runs / name) for name in ("top5", "none")]
    assert found[0]["results"] == found[1]["results"] and found[0]["settings_hash"] == found[1]["settings_hash"]
    assert found[1]["outputs"] is None and not (runs / "none" / "outputs.npz").exists()
    kept = found[0]["outputs"]
    assert kept == {"file": "outputs.npz", "sha256": sha256(runs / "top5" / "outputs.npz"), "form": "top5"}
    assert record(runs / "val")["outputs"]["file"] == "outputs_val.npz"


def test_a_finished_run_says_that_it_kept_less(tiny, runs, capsys):
    trained = ("--eval-only", "--model-dir", runs / "runs" / "CoOp" / "seed1", "--load-epoch", 3)
    assert tiny.run(runs / "top5", "CoOp", trained, ALL) == 0
    said = capsys.readouterr().out
    assert "Finished already" in said and "it kept top5 of its outputs, not TEST.OUTPUTS logits" in said
    assert tiny.run(runs / "top5", "CoOp", trained, ALL | {"TEST.OUTPUTS": "none"}) == 0
    assert "it kept" not in capsys.readouterr().out


def test_paths_are_those_of_the_test_list(runs):
    with np.load(runs / "runs" / "CoOp" / "seed1" / "outputs.npz") as stored:
        assert stored["path"][0] == "0_test_0.png" and len(set(stored["path"].tolist())) == len(stored["label"]) == 20
        names = stored["classnames"].tolist()
    assert names == record(runs / "runs" / "CoOp" / "seed1")["classnames"]


def test_predictions_of_another_project(runs, capsys, tmp_path):
    with np.load(runs / "runs" / "CoOp" / "seed1" / "outputs.npz") as stored:
        theirs = {key: stored[key] for key in ("label", "path", "classnames")}
        theirs["logits"] = stored["relative_logits"].astype(float)[::-1] + 30  # another method's answers
    np.savez(tmp_path / "theirs.npz", **theirs)
    code, (row,), _ = scored(capsys, tmp_path / "theirs.npz", "--against", runs / "runs" / "CoOp")
    right = theirs["logits"].argmax(1) == theirs["label"]
    assert code == 0 and row["accuracy"] == 100 * right.mean() and row["nll"] > 0
    own = dict(np.load(runs / "runs" / "CoOp" / "seed1" / "outputs.npz"))
    test = mcnemar(right, own["prediction"] == own["label"])
    assert (row["only_here"], row["only_there"], row["mcnemar_p"]) == tuple(test)
    assert row["gain"] == pytest.approx(
        row["accuracy"] - record(runs / "runs" / "CoOp" / "seed1")["results"]["accuracy"]
    )
    assert row["gain_low"] <= row["gain"] <= row["gain_high"]


def test_images_are_paired_by_path(runs, capsys, tmp_path):
    with np.load(runs / "top5" / "outputs.npz") as stored:
        arrays = dict(stored)
    order = np.random.default_rng(1).permutation(len(arrays["label"]))
    shuffled = {key: x[order] if x.shape[:1] == order.shape else x for key, x in arrays.items()}
    np.savez(tmp_path / "shuffled.npz", **shuffled)
    _, (row,), _ = scored(capsys, tmp_path / "shuffled.npz", "--against", runs / "top5")
    assert (row["only_here"], row["only_there"], row["mcnemar_p"], row["gain"]) == (0, 0, 1.0, 0.0)
    assert row["nll_gain"] == row["nll_gain_low"] == 0


def test_a_temperature_from_validation_images(runs, capsys):
    _, (plain, scaled), _ = scored(capsys, runs / "runs" / "CoOp", "--temperature", runs / "val")
    assert scaled["temperature"] > 0 and scaled["answer"] == "/ T"
    assert scaled["accuracy"] == plain["accuracy"] and scaled["nll"] != plain["nll"]
    _, (plain, scaled), _ = scored(capsys, runs / "val", "--temperature", runs / "val")
    assert scaled["nll"] <= plain["nll"]  # where it was fitted


def test_a_temperature_that_is_given(runs, capsys, tmp_path, monkeypatch):
    """C-TPT's baseline: logits over a fixed number."""
    run = runs / "runs" / "CoOp"
    _, (plain, scaled), _ = scored(capsys, run, "--temperature", "1.16")
    assert scaled["temperature"] == 1.16 and scaled["answer"] == "/ T" and scaled["accuracy"] == plain["accuracy"]
    with np.load(run / "seed1" / "outputs.npz") as stored:
        logits, label = stored["relative_logits"].astype(float) / 1.16, stored["label"]
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert scaled["nll"] == pytest.approx(-np.log(p[np.arange(len(p)), label]).mean(), rel=1e-4)
    _, (plain, same), _ = scored(capsys, run, "--temperature", "1")
    assert same["nll"] == pytest.approx(plain["nll"], rel=1e-4)  # logits are stored in half precision
    shutil.copytree(runs / "val", tmp_path / "2")  # a place of that name
    monkeypatch.chdir(tmp_path)
    _, (_, fitted), _ = scored(capsys, run, "--temperature", "2")
    assert fitted["temperature"] != 2


def test_every_format(runs, capsys, tmp_path):
    for form in ("terminal", "markdown", "latex"):
        assert main(["score", str(runs / "runs"), "--format", form]) == 0
        said = capsys.readouterr().out
        assert "ECE" in said and f"{record(runs / 'runs' / 'CoOp' / 'seed1')['scores']['ece']:.2f}" in said
    file = tmp_path / "a" / "scores.csv"
    assert main(["score", str(runs / "runs"), "--format", "csv", "--output", str(file)]) == 0
    rows = list(csv.DictReader(io.StringIO(file.read_text())))
    assert float(rows[0]["nll"]) == record(runs / "runs" / "CoOp" / "seed1")["scores"]["nll"]
    assert main(["score", str(runs / "runs"), "--reliability", str(tmp_path / "r.png")]) == 0
    assert (tmp_path / "r.png").read_bytes()[:4] == b"\x89PNG"


@pytest.fixture(scope="module")
def seeds(tiny, tmp_path_factory):
    """Three seeds of one setting, and the third with another learning rate."""
    top = tmp_path_factory.mktemp("seeds")
    for seed in (1, 2, 3):
        assert tiny.run(top / "alike" / "CoOp" / f"seed{seed}", "CoOp", ("--seed", seed), ALL) == 0
    for seed in (2, 3):
        assert tiny.run(top / "other" / "CoOp" / f"seed{seed}", "CoOp", ("--seed", seed), ALL | {"OPTIM.LR": 0.5}) == 0
    return top


def test_means_over_seeds(seeds, capsys):
    code, (row,), _ = scored(capsys, seeds / "alike", "--means", "--figures", "accuracy", "nll")
    values = [record(seeds / "alike" / "CoOp" / f"seed{seed}")["scores"] for seed in (1, 2, 3)]
    assert code == 0 and (row["run"], row["seeds"]) == ("CoOp", 3)
    for name in ("accuracy", "nll"):
        each = [value[name] for value in values]
        assert row[name] == pytest.approx(np.mean(each)) and row[f"{name}_std"] == pytest.approx(np.std(each, ddof=1))
    assert row.keys() == {"run", "answer", "images", "seeds", "accuracy", "accuracy_std", "nll", "nll_std"} - {"answer"}
    assert main(["score", str(seeds / "alike"), "--means", "--figures", "accuracy"]) == 0
    assert f"{row['accuracy']:.2f} ± {row['accuracy_std']:.2f}" in capsys.readouterr().out


def test_a_run_named_twice_counts_once(seeds, capsys):
    here = seeds / "alike" / "CoOp"
    _, wanted, _ = scored(capsys, here, "--means")
    for places in ([here, here], [here / "seed1", here, here / "seed1"], [here, here / "seed2" / "outputs.npz"]):
        _, rows, _ = scored(capsys, *places, "--means")
        assert sum(row["seeds"] for row in rows) == 3, rows
    assert scored(capsys, here, here / ".." / "CoOp", "--means")[1] == wanted


def test_equal_names_below_two_places_are_told_apart(seeds, capsys):
    places = (seeds / "alike", seeds / "other")
    _, rows, _ = scored(capsys, *places, "--means")
    assert {row["run"]: row["seeds"] for row in rows} == {str(places[0] / "CoOp"): 3, str(places[1] / "CoOp"): 2}
    _, rows, _ = scored(capsys, *places)
    assert len({row["run"] for row in rows}) == 5


def test_means_of_runs_that_differ_in_more_than_the_seed(seeds, capsys, tmp_path):
    shutil.copytree(seeds / "alike", tmp_path / "runs")
    shutil.rmtree(tmp_path / "runs" / "CoOp" / "seed3")
    shutil.copytree(seeds / "other" / "CoOp" / "seed3", tmp_path / "runs" / "CoOp" / "seed3")
    code, _, said = scored(capsys, tmp_path / "runs", "--means")
    assert code == 2 and "CoOp: its runs differ in more than the seed, OPTIM.LR" in said and said.count("\n") == 1
    assert scored(capsys, tmp_path / "runs")[0] == 0


def test_other_figures_than_recorded_are_named(runs, capsys, tmp_path):
    shutil.copytree(runs / "top5", tmp_path / "run")
    text = (tmp_path / "run" / "results.json").read_text()
    own = record(runs / "top5")["scores"]["nll"]
    (tmp_path / "run" / "results.json").write_text(text.replace(repr(own), repr(own + 1e-9)))
    code, _, said = scored(capsys, tmp_path / "run")
    assert code == 1 and "other figures than its results.json" in said


def broken(runs, folder):
    """{what is wrong: (words after `score`, what is said)}."""
    top, own = folder / "copy", dict(np.load(runs / "top5" / "outputs.npz"))
    shutil.copytree(runs / "top5", top)
    shutil.copy(runs / "runs" / "CoOp" / "seed1" / "outputs.npz", top / "outputs.npz")
    shutil.copytree(runs / "top5", folder / "cut")
    (folder / "cut" / "outputs.npz").write_bytes((runs / "top5" / "outputs.npz").read_bytes()[:-30])
    (folder / "empty").mkdir()
    made = {
        "letters": {"about": np.array('{"dataset": "Letters"}')}, "names": {"classnames": own["classnames"][::-1]},
        "paths": {"path": np.array([f"x{i}" for i in range(20)])}, "labels": {"label": (own["label"] + 1) % 5},
    }  # fmt: skip
    for name, changes in made.items():
        np.savez(folder / f"{name}.npz", **(own | changes))
    against = ["--against", runs / "top5"]
    (folder / "t.csv").write_text("path,label\na,0\n")
    np.savez(folder / "p.npz", label=own["label"], logits=np.full((20, 5), 0.2))
    np.savez(folder / "unknown.npz", label=np.full(20, -1), logits=np.random.default_rng(1).normal(size=(20, 5)))
    np.savez(folder / "seed2.npz", about=np.array('{"trainer": "CoOp", "seed": 2, "split": "val"}'),
             label=own["label"], logits=np.random.default_rng(1).normal(size=(20, 5)))  # fmt: skip
    np.savez(folder / "names4.npz", **{k: v for k, v in own.items() if k in ("label", "prediction")} | {
        "classnames": [*own["classnames"], "one more"]})  # fmt: skip
    (folder / "x.txt").write_text("")
    return {
        "not the run's file": ([top], "is not the file that this run wrote"),
        "truncated": ([folder / "cut"], "is no whole file of outputs"),
        "none kept": ([runs / "none"], "kept no outputs (an older run, or TEST.OUTPUTS none)"),
        "no such place": ([folder / "nowhere"], "There is no"),
        "no runs": ([folder / "empty"], "there is no finished run in it"),
        "another dataset": ([folder / "letters.npz", *against], "is about Letters, but"),
        "another class list": ([folder / "names.npz", *against], "have other class lists: label 0 is"),
        "other images": ([folder / "paths.npz", *against], "about different images (0 are in both, of 20 and 20)"),
        "other labels": ([folder / "labels.npz", *against], "has label 1 in"),
        "a column missing": ([folder / "t.csv"], "needs the columns label and prediction, and it has path, label"),
        "probabilities": ([folder / "p.npz"], "logits are probabilities"),
        "no labels": ([folder / "unknown.npz"], "has no image of a known class"),
        "another seed's validation images": (
            [runs / "runs" / "CoOp", "--temperature", folder / "seed2.npz"], "is of seed 1, but"
        ),
        "validation images without labels": (
            [runs / "runs" / "CoOp", "--temperature", folder / "unknown.npz"], "has no image of a known class"
        ),
        "more classes": ([folder / "names4.npz", *against], "have other class lists, of 6 and of 5 classes"),
        "no such ending": ([folder / "x.txt"], "files of outputs end in .npz, .csv or .parquet"),
        "several against": ([runs / "top5", "--against", runs / "runs"], "has 3 runs with outputs"),
        "test images": (
            [runs / "runs" / "CoOp", "--temperature", runs / "runs" / "CoOp"], "fitted on validation images"
        ),
        "no temperature": ([runs / "runs" / "CoOp", "--temperature", "0"], "is 0, but logits are divided by it"),
        "no number": ([runs / "runs" / "CoOp", "--temperature", "nan"], "give a finite number above 0"),
        "no logits at 1.16": ([runs / "top5", "--temperature", "1.16"], "no logits of all classes"),
        "no logits": ([runs / "top5", "--temperature", runs / "val"], "no logits of all classes"),
        "another figure": ([runs / "top5", "--figures", "f2"], "--figures f2 is not among"),
        "ending": ([runs / "top5", "--reliability", folder / "a.txt"], "must end in one of"),
        "unwritable": ([runs / "top5", "--output", folder], "cannot be written"),
    }  # fmt: skip


def test_bad_input_ends_in_one_sentence(runs, capsys, tmp_path):
    for name, (words, says) in broken(runs, tmp_path).items():
        code, _, said = scored(capsys, *words)
        assert code == 2 and says in said and said.count("\n") == 1 and "Traceback" not in said, (name, said)


def test_means_of_seeds_that_are_not_of_one_test(runs, capsys, tmp_path):
    for seed, run in ((1, "top5"), (2, "val")):
        shutil.copytree(runs / run, tmp_path / "CoOp" / f"seed{seed}")
    code, _, said = scored(capsys, tmp_path, "--means")
    assert code == 2 and "differ in more than the seed, TEST.SPLIT" in said and said.count("\n") == 1
