"""Tests over base and new classes together: their figures beside those of the two halves alone, and by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
from helpers import Tiny as TinySet  # noqa: F401  registers the dataset
from sklearn.metrics import roc_auc_score

import predict
from bench.__main__ import main
from dassl.outputs.kept import KeptOutputs, write_outputs
from dassl.outputs.open_world import SCORES, open_world
from dassl.outputs.reading import read_outputs
from dassl.outputs.scores import OPEN_WORLD
from dassl.utils import InputError
from runs.protocols import plan

HALF, LOGITS = "DATASET.SUBSAMPLE_CLASSES", {"TEST.OUTPUTS": "logits"}
TOGETHER = {HALF: "all", "TEST.OPEN_WORLD": "new", **LOGITS}
METHODS = ("CoOp", "MMRL", "ANPrompt")
ANPROMPT = {"LANGUAGE.MISSING": "stand_in", "TRAINER.ANPROMPT.TEST_LOGITS.new": "align"}  # unlike base classes


@pytest.fixture(scope="module")
def runs(tiny, tmp_path_factory):
    """For each method: trained and tested on base classes, tested on the new ones, and on all together."""
    top = tmp_path_factory.mktemp("open")
    for method in METHODS:
        own = ANPROMPT if method == "ANPrompt" else {}
        assert tiny.run(top / method / "base", method, (), own) == 0
        trained = ("--eval-only", "--model-dir", top / method / "base", "--load-epoch", 3)
        assert tiny.run(top / method / "new", method, trained, {HALF: "new"} | own) == 0
        assert tiny.run(top / method / "all", method, trained, TOGETHER | own) == 0
    return top


def record(folder):
    return json.loads((folder / "results.json").read_text())


def test_each_half_alone_is_as_in_its_own_test(runs):
    """CoOp's prompts are those of the class alone, so that other candidates change no logit."""
    found = record(runs / "CoOp" / "all")["scores"]
    assert found["base_alone"] == pytest.approx(record(runs / "CoOp" / "base")["results"]["accuracy"])
    assert found["new_alone"] == pytest.approx(record(runs / "CoOp" / "new")["results"]["accuracy"])
    assert found.keys() >= OPEN_WORLD.keys() and found["joint_base"] <= found["base_alone"]
    assert found["joint_accuracy"] == record(runs / "CoOp" / "all")["results"]["accuracy"]
    # 12 base and 8 new images
    assert found["joint_accuracy"] == pytest.approx(0.6 * found["joint_base"] + 0.4 * found["joint_new"])


@pytest.mark.parametrize(
    ("method", "base", "new"), [("MMRL", "fused", "class_feature"), ("ANPrompt", "final", "align")]
)
def test_one_rule_for_all_images_and_both_branches_kept(runs, method, base, new):
    """Such a method answers base and new classes from other branches; in a joint test nobody tells it which."""
    halves = {half: record(runs / method / half) for half in ("base", "new")}
    found = record(runs / method / "all")
    outputs, own = read_outputs(runs / method / "all" / "outputs.npz"), found["scores"]
    assert (outputs.about["answer"], outputs.about["open_world"]) == (new, "new")
    assert own["new_alone"] == pytest.approx(halves["new"]["results"]["accuracy"])
    assert own["base_alone"] == pytest.approx(halves["base"]["other_accuracies"][new])
    assert found["other_scores"][base]["base_alone"] == pytest.approx(halves["base"]["results"]["accuracy"])


def test_the_other_rule(tiny, runs, tmp_path):
    trained = ("--eval-only", "--model-dir", runs / "MMRL" / "base", "--load-epoch", 3)
    assert tiny.run(tmp_path, "MMRL", trained, TOGETHER | {"TEST.OPEN_WORLD": "base"}) == 0
    theirs = record(runs / "MMRL" / "all")
    assert record(tmp_path)["scores"] == theirs["other_scores"]["fused"]
    assert record(tmp_path)["other_scores"]["class_feature"] == theirs["scores"]


def test_figures_by_hand(tmp_path):
    """Six images over three base classes and two new ones, and every figure from its definition."""
    random = np.random.default_rng(1)
    logits, label = 20 + 2 * random.normal(size=(40, 5)), np.arange(40) % 5
    logits[np.arange(40), label] += 1.5
    known, base = np.array([1, 1, 1, 0, 0], bool), label < 3
    np.savez(tmp_path / "a.npz", logits=logits, label=label, known=known)
    outputs = read_outputs(tmp_path / "a.npz")
    found = open_world(outputs, outputs.answer)
    right = logits.argmax(1) == label
    assert found["joint_base"] == pytest.approx(100 * right[base].mean())
    assert found["joint_hm"] == pytest.approx(
        200 * right[base].mean() * right[~base].mean() / (right[base].mean() + right[~base].mean())
    )
    alone = np.where(base, logits[:, :3].argmax(1), 3 + logits[:, 3:].argmax(1)) == label
    assert found["base_alone"] == pytest.approx(100 * alone[base].mean())
    mass = np.exp(logits)[:, :3].sum(1) / np.exp(logits).sum(1)
    pairs = [alone[i] * alone[j] * (mass[i] > mass[j]) for i in np.flatnonzero(base) for j in np.flatnonzero(~base)]
    assert found["openworld_auc"] == pytest.approx(100 * np.mean(pairs))
    few = np.exp(logits[:, :3])
    scores = {"msp": few.max(1) / few.sum(1), "energy": np.log(few.sum(1)), "max_logit": logits[:, :3].max(1)}
    for name in SCORES:
        assert found[f"ood_auroc_{name}"] == pytest.approx(100 * roc_auc_score(base, scores[name]), abs=1e-3)


def test_kept_logits_are_comparable_between_images(tmp_path):
    """fp16 less the largest, and the largest in fp32: the energy over some classes is that of the logits."""
    import torch

    torch.manual_seed(1)
    logits, label = 25 + 5 * torch.randn(50, 5), torch.arange(50) % 5
    kept = KeptOutputs("logits")
    kept.add(logits, label)
    write_outputs(tmp_path / "kept.npz", kept.arrays(), list("abcde"), known=[True] * 3 + [False] * 2)
    np.savez(tmp_path / "hand.npz", logits=logits.numpy(), label=label.numpy(), known=np.arange(5) < 3)
    found, hand = (read_outputs(tmp_path / f"{name}.npz") for name in ("kept", "hand"))
    ours, theirs = (open_world(each, each.answer) for each in (found, hand))
    assert ours == pytest.approx(theirs, abs=0.5) and ours["joint_accuracy"] == theirs["joint_accuracy"]


@pytest.mark.parametrize(
    ("flags", "pairs"),
    [((), {}), (("--eval-only",), {HALF: "base"}), (("--eval-only",), {"TASK": "FS"})],
    ids=["training", "base classes", "few-shot"],
)
def test_other_runs_refuse_the_rule(tiny, tmp_path, capsys, flags, pairs):
    assert tiny.run(tmp_path / "x", "ZeroshotCLIP" if flags else "CoOp", flags, TOGETHER | pairs) == 2
    said = capsys.readouterr().err
    assert "TEST.OPEN_WORLD is new, so this is a test over base and new classes" in said and "Traceback" not in said


def test_images_of_no_class(tiny, runs, tmp_path, capsys):
    """predict.py keeps what the scores of out-of-distribution detection need; `bench score` compares."""
    run, images = runs / "CoOp" / "base", tiny.root / "tiny" / "images"
    new = [str(images / f"{label}_test_{i}.png") for label in (3, 4) for i in range(4)]
    assert not predict.run(["--model-dir", str(run), "--output", str(tmp_path / "new.npz"), *new])
    unknown = read_outputs(tmp_path / "new.npz")
    assert set(unknown.label) == {-1} and len(unknown.path) == 8
    assert main(["score", str(run), "--ood", str(tmp_path / "new.npz"), "--format", "json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    joint = record(runs / "CoOp" / "all")["scores"]  # the same images, and base classes alone are the candidates
    for name in SCORES:
        assert row[f"ood_auroc_{name}"] == pytest.approx(joint[f"ood_auroc_{name}"], abs=2.1)  # fp16: a pair or two
    for words, says in (
        ([runs / "CoOp" / "new", "--ood", tmp_path / "new.npz"], "have other class lists"),
        ([run, "--ood", run], "has images of known classes"),
    ):
        assert main(["score", *map(str, words)]) == 2
        assert says in capsys.readouterr().err
    with pytest.raises(InputError, match="needs --output"):
        predict.main(predict.build_parser().parse_args(["--model-dir", str(run), "--format", "npz", *new]))


def test_the_protocol(tmp_path):
    output = str(tmp_path / "out")
    with pytest.raises(InputError, match="base2new_train"):
        plan("open_world_test", "CoOp", "digits", 1, {"OUTPUT": output}, [])
    (run,) = plan("open_world_test", "ZeroshotCLIP", "digits", 1, {"OUTPUT": output}, [])
    assert run[run.index("--output-dir") + 1] == f"{output}/open_world/digits/shots_16/ZeroshotCLIP/embedded/seed1"
    pairs = run[run.index("TEST.OPEN_WORLD") :]
    assert pairs[:4] == ["TEST.OPEN_WORLD", "new", "TEST.OUTPUTS", "logits"] and "--eval-only" in run
    with pytest.raises(InputError, match="TEST.OPEN_WORLD in the command line is not in the name of the folder"):
        plan("open_world_test", "ZeroshotCLIP", "digits", 1, {"OUTPUT": output}, ["TEST.OPEN_WORLD", "base"])


def test_small_and_one_sided_files(tmp_path):
    """One image of each kind is one pair; without images of one kind there is nothing to tell apart."""
    logits = np.array([[4.0, 0, 1, 0], [0, 1, 0, 3.0]])
    known, label = np.array([1, 1, 0, 0], bool), np.array([0, 3])
    np.savez(tmp_path / "pair.npz", logits=logits, label=label, known=known)
    found = read_outputs(tmp_path / "pair.npz")
    own = open_world(found, found.answer)
    assert own["openworld_auc"] == own["joint_hm"] == own["ood_auroc_max_logit"] == 100 and own["ood_fpr95_msp"] == 0
    np.savez(tmp_path / "same.npz", logits=np.zeros((2, 4)), label=np.array([0, 2]), known=known)
    found = read_outputs(tmp_path / "same.npz")
    own = open_world(found, found.answer)  # all scores are equal: the pair counts half
    assert (own["openworld_auc"], own["ood_auroc_energy"], own["ood_fpr95_energy"]) == (50, 50, 100)
    assert (own["joint_base"], own["joint_new"], own["joint_hm"], own["new_alone"]) == (100, 0, 0, 100)
    one_sided = {"base": (np.array([0, 1]), known), "all": (label, np.ones(4)), "none": (label, np.zeros(4))}
    for name, (side, about) in one_sided.items():
        np.savez(tmp_path / f"{name}.npz", logits=logits, label=side, known=about)
        found = read_outputs(tmp_path / f"{name}.npz")
        assert open_world(found, found.answer) == {}
