"""Class features that nearly coincide: the rule, the field of results.json, and one warning."""

import json

import pytest
import torch

from clipkit import normalize
from trainers.shared.coinciding import has_collapsed, mean_distance


def test_mean_distance():
    features = normalize(torch.randn(3, 5, 8))
    off = ~torch.eye(5, dtype=torch.bool)
    by_hand = [1 - (x @ x.t())[off].mean().item() for x in features]
    assert mean_distance(features[0]) == pytest.approx(by_hand[0], abs=1e-6)
    assert mean_distance(features) == pytest.approx(sum(by_hand) / 3, abs=1e-6)
    assert mean_distance(features[0, :1]) == float("inf")


def test_the_rule_is_a_hundredth_of_zero_shot_clips_distance():
    assert has_collapsed(0.0029, 0.3) and not has_collapsed(0.0031, 0.3)
    assert has_collapsed(0.00009, 0.0)  # CLIP's own features may coincide


def results(folder) -> dict:
    return json.loads((folder / "results.json").read_text())


def test_a_run_that_collapses_warns_once_and_records_it(tiny, tmp_path, monkeypatch, capsys):
    from trainers.coop import CoOp

    encode = CoOp.encode_text
    assert tiny.run(tmp_path / "apart", pairs={"OPTIM.MAX_EPOCH": 1}) == 0
    assert "collapsed" not in capsys.readouterr().out
    found = results(tmp_path / "apart")
    assert found["collapsed"] is False and found["class_feature_distance"] > 0.01
    monkeypatch.setattr(CoOp, "encode_text", lambda self: encode(self)[:1].expand(len(self.classnames), -1))
    assert tiny.run(tmp_path / "run", pairs={"OPTIM.MAX_EPOCH": 1, "TEST.FINAL_MODEL": "best_val"}) == 0
    out = capsys.readouterr().out
    assert out.count("the run has collapsed: the features of all 3 classes") == 1 and "predicted 1 of 3 classes" in out
    fell = results(tmp_path / "run")
    assert fell["collapsed"] is True and fell["class_feature_distance"] == pytest.approx(0, abs=1e-5)
    assert fell["zero_shot_class_feature_distance"] == found["zero_shot_class_feature_distance"]
    assert fell["results"]["predicted_classes"] == 1


@pytest.mark.parametrize("method", ["CoCoOp", "VisPrompt"])
def test_of_texts_that_depend_on_the_image_the_first_test_images_count(tiny, tmp_path, method):
    trainer = tiny.trainer(tmp_path, method)
    trainer.set_model_mode("eval")
    with torch.no_grad():
        text = trainer.class_features()
        image = trainer.tester.first_images()
        logits = trainer.model_inference(image)
        features = image if image.ndim == 2 else trainer.look(image)[0] if method == "VisPrompt" else image
        torch.testing.assert_close(trainer.logits(features, text), logits)  # they are what a test compares with
    assert text.shape[:2] == (len(image), len(trainer.classnames))


def test_a_method_without_training_has_no_such_field(tiny, tmp_path):
    assert tiny.run(tmp_path / "zero", "ZeroshotCLIP", ("--eval-only",)) == 0
    assert "collapsed" not in results(tmp_path / "zero")
