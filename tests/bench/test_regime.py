"""The regime card: its criteria tell good numbers from bad ones, and its runs are train.py's."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

import train
from bench.studies import regime
from bench.studies import regime_criteria as criteria
from bench.studies.regime_runs import Lab
from clipkit.weights import EMBEDDED_FILE
from datasets.reading.catalog import quiet


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("regime") / "data"


def noisy(ce: tuple, gce: tuple, floor: float = 12.0) -> list[dict]:
    """Runs of one set and seed with these accuracies at 0, 50 and 80 % wrong labels."""
    return [
        {"loss": loss, "set": "digits", "rate": rate, "seed": 1, "accuracy": accuracy, "floor": floor}
        for loss, values in (("ce", ce), ("gce", gce))
        for rate, accuracy in zip(regime.RATES, values, strict=True)
    ]


GOOD = {
    "zero_shot": {"digits": {"base": 66.0, "new": 70.0, "all": 60.0}},
    "base2new": {
        "CoOp": {"digits": [{"base": 80.0, "new": 60.0}]},
        "KgCoOp": {"digits": [{"base": 78.0, "new": 71.0}]},
    },
    "noise": noisy((76.0, 66.0, 50.0), (75.0, 72.0, 60.0)),
    "distance_ratios": {"a": 0.4, "b": 1.3},
    "moved": {"digits": [1.5]},
    "steps": [0.01, 0.02],
    "attack": {"digits": 2.0},
    "shift": {"shapes_sketch": [12.0]},
}
BAD = [
    ("zero_shot", {"digits": {"base": 39.0, "new": 70.0, "all": 60.0}}, {0, 1}),
    ("zero_shot", {"digits": {"base": 66.0, "new": 81.0, "all": 60.0}}, {0, 1}),
    ("base2new", {"CoOp": {"digits": [{"base": 70.0, "new": 69}]}, "KgCoOp": {"digits": [{"base": 70.0, "new": 60}]}},
     {2, 3, 4}),
    ("noise", noisy((76.0, 75.0, 10.0), (75.0, 60.0, 5.0)), {5, 6, 7, 8, 9}),
    ("distance_ratios", {"a": 0.4, "b": 0.009}, {10}),
    ("moved", {"digits": [7.0]}, {11}),
    ("attack", {"digits": 2.0, "letters": 10.0}, {12}),
    ("shift", {"shapes_sketch": [12.0], "shapes_clutter": [-3.0]}, {13}),
]  # fmt: skip


def test_good_numbers_meet_every_criterion():
    assert [row.met for row in regime.card(GOOD)] == [True] * 14


@pytest.mark.parametrize("key, value, failing", BAD)
def test_bad_numbers_fail_their_criteria_and_no_others(key, value, failing):
    rows = regime.card(GOOD | {key: value})
    assert {i for i, row in enumerate(rows) if not row.met} == failing


def test_what_was_not_measured_is_neither_met_nor_failed():
    empty = {key: {"CoOp": {}, "KgCoOp": {}} if key == "base2new" else type(value)() for key, value in GOOD.items()}
    rows = regime.card(empty)
    assert len(rows) == 14 and {row.met for row in rows} == {None}
    assert "not measured" in regime.text(rows, "github")


def test_one_run_at_chance_is_allowed_among_twenty():
    fallen, fine = noisy((70.0, 10.0, 60.0), (70.0, 65.0, 60.0)), noisy((70.0, 65.0, 60.0), (70.0, 65.0, 60.0))
    met = lambda runs: criteria.label_noise(runs)[2].met  # noqa: E731
    assert met(fallen + 9 * fine) and not met(fallen + 8 * fine)


def test_the_quick_card_of_the_shipped_model(root, tmp_path, capsys):
    file, page = tmp_path / "card.json", tmp_path / "card.md"
    argv = ["--root", str(root), "--quick", "--json", str(file), "--markdown", str(page)]
    assert regime.main(argv) == 0
    found = json.loads(file.read_text())
    rows = regime.card(found["measured"])
    assert [vars(row) for row in rows] == found["criteria"]  # every row follows from the measured numbers
    assert [row.met is None for row in rows] == [False] * 13 + [True]  # without Shapes there are no variants
    assert regime.text(rows, "github") in page.read_text()
    assert regime.text(rows, "simple") in capsys.readouterr().out
    assert len(found["measured"]["noise"]) == 6 and len(found["measured"]["distance_ratios"]) == 10


def test_a_broken_model_fails(root, tmp_path):
    weights = load_file(EMBEDDED_FILE)
    weights["token_embedding.trained_rows"].zero_()  # every text is the same
    save_file(weights, tmp_path / "broken.safetensors")
    file = tmp_path / "card.json"
    regime.main(["--root", str(root), "--quick", "--model", str(tmp_path / "broken.safetensors"), "--json", str(file)])
    met = {row["name"]: row["met"] for row in json.loads(file.read_text())["criteria"]}
    assert not met["zero-shot, both halves of every set"] and not met["CoOp-16, base against zero-shot"]
    assert not met["mean cosine distance of class features, smallest of all runs"]
    assert not met["cross-entropy at 80% wrong labels"]


def test_a_file_that_is_not_there_is_named(root, capsys):
    assert regime.main(["--root", str(root), "--model", "no.safetensors"]) == 2
    assert "no.safetensors" in capsys.readouterr().err


def test_its_runs_are_those_of_train_py_without_augmentation(root, tmp_path):
    root.mkdir(exist_ok=True)
    noise = ["DATASET.NOISE.TYPE", "sym_other", "DATASET.NOISE.RATE", "0.5"]
    with quiet():
        found = Lab(root, tmp_path, epochs=3).train("CoOp", "digits", 1, "base", noise)
    argv = ["--root", str(root), "--seed", "1", "--trainer", "CoOp", "--output-dir", str(tmp_path / "run")]
    argv += ["--dataset-config-file", "configs/datasets/digits.yaml"]
    argv += ["--config-file", "configs/trainers/CoOp/embedded.yaml", "DATASET.SUBSAMPLE_CLASSES", "base"]
    argv += ["DATASET.NUM_SHOTS", "16", "OPTIM.MAX_EPOCH", "3", "INPUT.TRANSFORMS", "('normalize',)", *noise]
    assert not train.run(argv)
    assert json.loads((tmp_path / "run" / "results.json").read_text())["results"]["accuracy"] == found.accuracy
    contexts = [
        torch.load(f"{folder}/prompt_learner/model.pth.tar-3", weights_only=True)["state_dict"]["ctx"]
        for folder in (found.folder, tmp_path / "run")
    ]
    torch.testing.assert_close(*contexts, atol=1e-5, rtol=1e-4)
