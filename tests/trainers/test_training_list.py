"""The training items as one list, scored by the current prompts."""

import pytest
import torch

from trainers.shared.training_list import TrainingList

NOISE = {"DATASET.NOISE.TYPE": "sym_other", "DATASET.NOISE.RATE": 0.5}


@pytest.mark.parametrize("method", ["CoOp", "MaPLe"])
def test_logits_are_those_of_the_images_one_by_one_and_in_order(tiny, tmp_path, method):
    trainer = tiny.trainer(tmp_path, method, NOISE)
    listed: TrainingList = trainer.training_list
    logits = listed.logits()
    trainer.set_model_mode("eval")
    with torch.no_grad():
        for index in (0, len(listed) - 1):
            image = listed.loader.dataset[index]["img"][None]
            torch.testing.assert_close(logits[index], trainer.model_inference(image)[0], atol=1e-4, rtol=1e-5)
    assert listed.label.tolist() == [item.label for item in trainer.dm.dataset.train_x]
    assert (listed.label != listed.gt).sum() == len(listed) // 2


def test_the_mode_of_training_is_put_back(tiny, tmp_path):
    trainer = tiny.trainer(tmp_path, "CoOp", NOISE)
    trainer.set_model_mode("train")
    trainer.training_list.logits()
    assert trainer.model.training


def test_without_the_feature_bank_nothing_is_kept(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("ROBUSTPROMPT_CACHE", str(tmp_path / "bank"))
    found = []
    for bank in (False, True):
        trainer = tiny.trainer(tmp_path, "CoOp", NOISE | {"TEST.FEATURE_BANK": bank})
        found.append(trainer.training_list.logits())
        assert any((tmp_path / "bank").rglob("*.safetensors")) == bank
    assert torch.equal(*found)
