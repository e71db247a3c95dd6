"""TRAINER.FILTER: what it looks at, what it leaves out, and the package that judges."""

from __future__ import annotations

import importlib.util
import json
import sys

import numpy as np
import pytest
import torch
from helpers import cleanlab_stand_in

from clipkit import FeatureBank
from dassl.engine import TRAINER_REGISTRY
from datasets.templates import custom_template
from trainers.label_noise.label_filter import cleanlab_judgement, zero_shot_probabilities

HALF = {"DATASET.NOISE.TYPE": "sym_other", "DATASET.NOISE.RATE": 0.5}
FILTER = HALF | {"TRAINER.FILTER": "cleanlab"}
WRONG = (1, 4, 5)  # what the stand-in below finds wrong


@pytest.fixture
def stand_in(monkeypatch):
    """A package of that name which finds WRONG wrong, and notes what it is asked."""
    return cleanlab_stand_in(monkeypatch, WRONG)


@pytest.mark.parametrize("method", ["CoOp", "MaPLe"])
def test_probabilities_are_zero_shot_clips(tiny, tmp_path, method):
    trainer = tiny.trainer(tmp_path, method, HALF)
    trainer.bank = FeatureBank(tmp_path / "bank")  # an empty one
    found = zero_shot_probabilities(trainer)
    template = custom_template("Tiny")
    clip_model, images = trainer.clip, trainer.training_list.loader.dataset
    text = trainer.text_encoder.encode_texts([template.format(name) for name in trainer.classnames])
    for index in (0, len(images) - 1):
        with torch.no_grad():
            f = torch.nn.functional.normalize(clip_model.encode_image(images[index]["img"][None]), dim=-1)
        expected = (clip_model.logit_scale.exp() * f @ text.T).softmax(1)[0]
        torch.testing.assert_close(found[index], expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("method", ["CoOp", "MaPLe"])
def test_items_judged_wrong_are_not_trained_on(tiny, tmp_path, stand_in, method, monkeypatch):
    kind, seen = TRAINER_REGISTRY.get(method), set()
    parse = kind.parse_batch_train
    monkeypatch.setattr(kind, "parse_batch_train", lambda self, b: seen.update(b["impath"]) or parse(self, b))
    every = [item.impath for item in tiny.trainer(tmp_path / "clean", method, HALF).dm.dataset.train_x]
    assert tiny.run(tmp_path / "run", method, pairs=FILTER | {"OPTIM.MAX_EPOCH": 6}) == 0
    assert seen <= {p for i, p in enumerate(every) if i not in WRONG} and len(seen) > len(every) // 2
    decisions = json.loads((tmp_path / "run" / "decisions.json").read_text())
    assert [i for i, clean in enumerate(decisions["clean"]) if not clean] == list(WRONG)
    assert len(decisions["score"]) == len(every) == len(decisions["clean"])
    record = json.loads((tmp_path / "run" / "results.json").read_text())
    assert record["filter"] == {"name": "cleanlab", "kept": len(every) - 3, "of": len(every)}
    assert record["items"]["train"]["count"] == len(every) - 3
    (labels, probability), *_ = stand_in
    observed = tiny.trainer(tmp_path / "other", method, HALF).dm.dataset.train_x
    assert labels.tolist() == [item.label for item in observed], "observed labels, not true ones"
    assert probability.sum(1) == pytest.approx(1.0, abs=1e-12)


def test_it_judges_before_any_method_that_does_not_judge_itself(tiny, tmp_path, stand_in, capsys):
    assert tiny.run(tmp_path / "run", "NLPrompt", pairs=FILTER) == 2
    assert "detects wrong labels itself" in capsys.readouterr().err
    assert not (tmp_path / "run").exists() and not stand_in


def test_nothing_left_is_said(tiny, tmp_path, stand_in, capsys, monkeypatch):
    monkeypatch.setattr(sys.modules["cleanlab.filter"], "find_label_issues", lambda y, p, **k: np.ones(len(y), bool))
    assert tiny.run(tmp_path / "run", "CoOp", pairs=FILTER) == 2
    assert "no item is left to train on" in capsys.readouterr().err and not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "says"), [("cleanlab", "pip install cleanlab"), ("confident", "'confident', but must be cleanlab")]
)
def test_a_missing_package_and_an_unknown_filter_are_one_sentence(tiny, tmp_path, capsys, monkeypatch, name, says):
    for module in ("cleanlab", "cleanlab.filter", "cleanlab.rank"):
        monkeypatch.setitem(sys.modules, module, None)
    assert tiny.run(tmp_path / "run", "CoOp", pairs=FILTER | {"TRAINER.FILTER": name}) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1 and says in error[0], error
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(importlib.util.find_spec("cleanlab") is None, reason="cleanlab is not installed")
def test_the_real_package_finds_labels_that_the_model_contradicts():
    generator = np.random.default_rng(0)
    true = np.repeat(np.arange(4), 25)
    probability = np.full((100, 4), 0.05)
    probability[np.arange(100), true] = 0.85
    probability += generator.uniform(0, 0.02, probability.shape)
    observed = true.copy()
    observed[:6] = 1
    clean, score = cleanlab_judgement(observed, probability)
    assert (~clean[:6]).sum() >= 5 and clean[6:].all()  # it estimates the number of wrong labels, and rounds it
    assert score[:6].max() < score[6:].min()
    again = cleanlab_judgement(observed, probability)
    assert (again[0] == clean).all() and (again[1] == score).all()
