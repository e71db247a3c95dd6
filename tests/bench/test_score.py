"""`bench score`: the figures of finished runs without a model, of other predictions, and of pairs."""

from __future__ import annotations

import csv
import io
import json
import shutil

import numpy as np
import pytest
from helpers import Tiny as TinySet  # noqa: F401  registers the dataset
from helpers import locked

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
        "no number": ([runs / "runs" / "CoOp", "--temperature", "nan"], "give a number from 0.000001 to 1000000"),
        "no logits at 1.16": ([runs / "top5", "--temperature", "1.16"], "no logits of all classes"),
        "no logits": ([runs / "top5", "--temperature", runs / "val"], "no logits of all classes"),
        "another figure": ([runs / "top5", "--figures", "f2"], "--figures f2 is not among"),
        "ending": ([runs / "top5", "--reliability", folder / "a.txt"], "must end in one of"),
        "unwritable": ([runs / "top5", "--output", folder], "is a folder; give the name of a file"),
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


# ---------------------------------------------------------------------- temperatures and models


def written(file, about=None, **arrays):
    """An .npz file as another project writes it: 20 images of 5 classes."""
    rng = np.random.default_rng(1)
    whole = {
        "label": np.arange(20) % 5,
        "logits": rng.normal(size=(20, 5)) + 2 * np.eye(5)[np.arange(20) % 5],
        **arrays,
    }
    if about is not None:
        whole["about"] = np.array(json.dumps(about))
    np.savez(file, **{name: array for name, array in whole.items() if array is not None})
    return file


def refused(capsys, says, *words):
    """Asserts that `score` ends in this one sentence, and prints nothing else."""
    code = main(["score", *map(str, words)])
    said = capsys.readouterr()
    assert code == 2 and said.out == "" and says in said.err and said.err.count("\n") == 1, said.err


def test_a_temperature_of_a_file_without_paths_is_refused(capsys, tmp_path):
    """It cannot be told from test images."""
    paths = {name: np.array([f"{name}{i}.png" for i in range(20)]) for name in ("val", "test")}
    bare, test = written(tmp_path / "bare.npz"), written(tmp_path / "test.npz", path=paths["test"])
    val = written(tmp_path / "val.npz", path=paths["val"])
    for places in ((bare, bare), (test, bare), (bare, val)):
        refused(capsys, "bare.npz has no paths, so that the images of", places[0], "--temperature", places[1])
    refused(capsys, "is about test images", test, "--temperature", test)
    assert scored(capsys, test, "--temperature", val)[0] == 0
    assert scored(capsys, bare, "--temperature", "1.16")[0] == 0
    said = written(tmp_path / "said.npz", {"split": "val"})  # it says so itself
    assert scored(capsys, bare, "--temperature", said)[0] == 0


@pytest.mark.parametrize("given", ["1e-46", "1e39", "9e-7", "1000001", "-1", "inf"])
def test_a_temperature_out_of_range_is_refused(capsys, tmp_path, given):
    refused(capsys, f"--temperature is {given}, but", written(tmp_path / "a.npz"), f"--temperature={given}")


@pytest.mark.parametrize("given", ["0.000001", "1e6"])
def test_the_outermost_temperatures_give_finite_figures(capsys, tmp_path, given):
    logits = np.random.default_rng(1).normal(size=(20, 5)) * 1e36
    file = written(tmp_path / "a.npz", logits=logits)
    code, (plain, scaled), said = scored(capsys, file, "--temperature", given)
    assert code == 0 and said == "" and all(np.isfinite(x) for x in scaled.values() if isinstance(x, float))
    assert plain["accuracy"] == scaled["accuracy"]


@pytest.mark.parametrize("option", ["--temperature", "--base", "--against", "--ood", "--output", "--reliability"])
def test_an_empty_option_is_refused(capsys, tmp_path, monkeypatch, option):
    """As a path it would be the folder that one is in."""
    file = written(tmp_path / "a.npz")
    monkeypatch.chdir(tmp_path)
    dac = ("--dac", "1") if option == "--base" else ()
    refused(capsys, f"{option} is empty", file, *dac, option, "")
    refused(capsys, "RUN is empty", "")


def test_other_commands_refuse_empty_options(capsys, tmp_path):
    for words in (
        ["collect", str(tmp_path), "--csv", ""], ["collect", ""], ["compare", str(tmp_path), "--output", " "],
        ["compare", str(tmp_path), "--table", ""], ["report", str(tmp_path), "--output", ""],
        ["report", str(tmp_path), "--title", ""], ["corruptions", "", "--output", "a"], ["pack", str(tmp_path), ""],
    ):  # fmt: skip
        assert main(words) == 2
        said = capsys.readouterr().err
        assert "is empty; give" in said and said.count("\n") == 1, (words, said)


def changed(run, to, **changes):
    """A copy of a run with another results.json; None: without that entry."""
    shutil.copytree(run, to)
    (to / "results.json").write_text(
        json.dumps({key: value for key, value in (record(run) | changes).items() if value is not None}, indent=4)
    )
    return to


@pytest.fixture(scope="module")
def others(tiny, runs, tmp_path_factory):
    """Another model of the same method and seed, and its outputs on validation images."""
    top = tmp_path_factory.mktemp("others")
    assert tiny.run(top / "CoOp" / "seed1", "CoOp", (), ALL | {"OPTIM.LR": 0.5}) == 0
    trained = ("--eval-only", "--model-dir", top / "CoOp" / "seed1", "--load-epoch", 3)
    assert tiny.run(top / "val", "CoOp", trained, ALL | {"TEST.SPLIT": "val"}) == 0
    return top


def test_validation_images_of_another_model_are_refused(runs, others, capsys, tmp_path):
    own = runs / "runs" / "CoOp"
    refused(capsys, "is of other trained weights than", own, "--temperature", others / "val")
    refused(capsys, "is of other trained weights than", runs / "top5", "--dac", 1, "--base", others / "val")
    unhashed = changed(others / "val", tmp_path / "unhashed", model_sha256=None)
    refused(capsys, "trained with other settings than that of", own, "--temperature", unhashed)
    assert scored(capsys, own, "--temperature", changed(runs / "val", tmp_path / "same", model_sha256=None))[0] == 0
    assert scored(capsys, own, "--temperature", runs / "val")[0] == 0


def test_validation_images_of_another_data_set_are_refused(runs, capsys, tmp_path):
    own = runs / "runs" / "CoOp"
    about = {"trainer": "CoOp", "seed": 1, "dataset": "Letters", "split": "val"}
    alone = written(tmp_path / "letters.npz", about)
    refused(capsys, "is of a model trained on Tiny, but", own, "--temperature", alone)
    lost = {"model_sha256": None, "model_dir": "lost"}
    trained = changed(runs / "val", tmp_path / "trained", dataset="Letters", model_sha256=None, model_dir=None)
    refused(capsys, "is of a model trained on Tiny, but", own, "--temperature", trained)
    # a test on another data set than that of the training, of one model
    moved = changed(runs / "top5", tmp_path / "moved", dataset="Letters", **lost)
    with np.load(runs / "runs" / "CoOp" / "seed1" / "outputs.npz") as stored:
        arrays = dict(stored)
    arrays["about"] = np.array(json.dumps(json.loads(str(arrays["about"])) | {"dataset": "Letters"}))
    np.savez(moved / "outputs.npz", **arrays)
    kept = record(moved)["outputs"] | {"sha256": sha256(moved / "outputs.npz")}
    elsewhere = changed(moved, tmp_path / "elsewhere", outputs=kept, scores=None, results=None)
    refused(capsys, "is of a model trained on Letters, but", elsewhere, "--temperature", runs / "val")
    here = {"model_sha256": record(runs / "top5")["model_sha256"], "model_dir": record(runs / "top5")["model_dir"]}
    across = changed(elsewhere, tmp_path / "across", outputs=kept, scores=None, results=None, **here)
    assert scored(capsys, across, "--temperature", runs / "val")[0] == 0


def test_unknown_images_of_another_method_are_refused(capsys, tmp_path):
    names = {"classnames": np.array(list("abcde"))}
    ours = written(tmp_path / "a.npz", {"trainer": "CoOp"}, **names)
    theirs = written(tmp_path / "b.npz", {"trainer": "MaPLe"}, label=np.full(20, -1), **names)
    refused(capsys, "is of trainer CoOp, but", ours, "--ood", theirs)


# ---------------------------------------------------------------------- what is written, and by whom


def test_nothing_is_written_before_all_is_known(capsys, tmp_path):
    file, picture = written(tmp_path / "a.npz"), tmp_path / "r.png"
    there = set(tmp_path.iterdir())
    draw = (file, "--reliability", picture)
    refused(capsys, "--figures bogus is not among", *draw, "--figures", "bogus")
    refused(capsys, "is a folder", *draw, "--output", tmp_path)
    refused(capsys, "but", *draw, "--output", file / "below.csv")
    refused(capsys, "--output and --reliability are both", *draw, "--output", picture)
    refused(capsys, "a.npz, which is read", *draw, "--output", file)
    assert set(tmp_path.iterdir()) == there


def test_of_two_files_none_is_written_if_one_cannot_be(capsys, tmp_path, monkeypatch):
    from pathlib import Path

    file, there = written(tmp_path / "a.npz"), set(tmp_path.iterdir())

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    says = "b.csv cannot be written (No space left on device)"
    refused(capsys, says, file, "--reliability", tmp_path / "r.png", "--output", tmp_path / "b.csv")
    assert set(tmp_path.iterdir()) == there


def test_figures_go_by_place_and_not_by_name(capsys, tmp_path, monkeypatch):
    """Of two tests of one name each has its own unknown images' figures and its own diagram."""
    from bench.drawing import reliability
    from bench.reading import outputs as reading

    names = {"classnames": np.array(list("abcde"))}
    sharp = np.eye(5)[np.arange(20) % 5] * 9
    one, two = written(tmp_path / "one.npz", **names), written(tmp_path / "two.npz", logits=sharp, **names)
    unknown = written(tmp_path / "u.npz", label=np.full(20, -1), **names)
    _, wanted, _ = scored(capsys, one, two, "--ood", unknown)
    assert wanted[0]["ood_auroc_msp"] != wanted[1]["ood_auroc_msp"]

    read, drawn = reading.read_places, []
    monkeypatch.setattr(
        reading, "read_places", lambda places: [reading.replace(each, name="test") for each in read(places)]
    )
    draw = reliability.reliability_diagrams
    monkeypatch.setattr(reliability, "reliability_diagrams", lambda found: drawn.append(len(found)) or draw(found))
    _, rows, _ = scored(capsys, one, two, "--ood", unknown, "--reliability", tmp_path / "r.PNG")
    assert [row | {"run": ""} for row in rows] == [row | {"run": ""} for row in wanted] and drawn == [2]
    assert (tmp_path / "r.PNG").read_bytes()[:4] == b"\x89PNG"


def test_two_classes_of_one_name_are_named(capsys, tmp_path):
    file = written(tmp_path / "a.npz", classnames=np.array(list("aabcd")))
    code, rows, said = scored(capsys, file)
    assert code == 0 and rows and "the classes 0 and 1 have one name, 'a'; they count as two classes." in said


# ---------------------------------------------------------------------- files that may not be read


@pytest.mark.parametrize("name", ["outputs.npz", "results.json", "a.csv"])
def test_a_file_that_may_not_be_read_is_named_so(runs, capsys, tmp_path, monkeypatch, name):
    (tmp_path / "a.csv").write_text("label,prediction\n0,0\n")
    place = tmp_path / "a.csv" if name == "a.csv" else runs / "top5"
    locked(monkeypatch, name)
    refused(capsys, f"{name} cannot be read (Permission denied); make it readable", place)


def test_a_results_json_with_odd_scores_is_named(runs, capsys, tmp_path):
    for i, odd in enumerate(({"scores": [1]}, {"other_scores": {"a": 3}}, {"other_scores": "x"})):
        refused(capsys, "is not a run's results.json (", changed(runs / "top5", tmp_path / str(i), **odd))
