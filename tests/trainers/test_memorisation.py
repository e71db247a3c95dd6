"""Memorisation curves: right numbers, no trace in training, the same file whether a run was interrupted or not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from dassl.engine import TRAINER_REGISTRY
from trainers.label_noise.memorisation import KEYS, ON_TRAINING, watch_every

D = "DATASET.NOISE."
HALF = {D + "TYPE": "sym_other", D + "RATE": 0.5}
EVERY = "TRAIN.WATCH_EVERY"


def curves(folder: Path) -> dict[str, list]:
    return json.loads((folder / "curves.json").read_text())


def result(folder: Path) -> dict:
    return json.loads((folder / "results.json").read_text())["results"]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    (file,) = folder.glob("*/model.pth.tar-3")
    return torch.load(file, weights_only=True)["state_dict"]


def test_accuracies_are_those_counted_by_hand(tiny, tmp_path):
    """Image by image, with the weights of the last epoch and the images as a test sees them."""
    assert tiny.run(tmp_path / "run", "CoOp", pairs=HALF) == 0
    found = curves(tmp_path / "run")
    assert set(found) == set(KEYS) and found["epochs"] == [1, 2, 3]
    trainer = tiny.trainer(tmp_path / "new", "CoOp", HALF)
    trainer.load_model(str(tmp_path / "run"), epoch=3)
    trainer.set_model_mode("eval")
    right: dict[str, list[bool]] = {key: [] for key in ON_TRAINING}
    items = trainer.dm.dataset.train_x
    with torch.no_grad():
        for index, item in enumerate(items):
            image = trainer.training_list.loader.dataset[index]["img"][None]
            predicted = trainer.model_inference(image).argmax().item()
            part = "kept" if item.label == item.gttarget else "flipped"
            right[f"noisy_{part}"].append(predicted == item.label)
            right[f"true_{part}"].append(predicted == item.gttarget)
    assert len(right["noisy_flipped"]) == len(items) // 2
    for key, hits in right.items():
        assert found[key][-1] == pytest.approx(100 * sum(hits) / len(hits)), key
    assert found["noisy_kept"] == found["true_kept"]


def test_who_knows_the_truth_repeats_no_wrong_label(tiny, tmp_path, monkeypatch):
    """A model that sees through all wrong labels, then one that has learned them by heart."""
    trainer = tiny.trainer(tmp_path, "CoOp", HALF)
    trainer.before_train()
    listed, curves_ = trainer.training_list, trainer.curves
    answers = {}

    def predicted(batches):
        label = torch.zeros(2, dtype=torch.long)
        return (answers["labels"] if batches is listed.batches else label), label

    monkeypatch.setattr(curves_, "_predicted", predicted)
    for labels, expected in ((listed.gt, (0, 100, 100, 100)), (listed.label, (100, 100, 0, 100))):
        answers["labels"] = labels
        found = curves_._accuracies()
        assert tuple(found[key] for key in ON_TRAINING) == expected and found["test"] == 100


def test_training_loss_is_the_mean_of_the_epochs_steps(tiny, tmp_path, monkeypatch):
    kind = TRAINER_REGISTRY.get("CoOp")
    step, seen = kind.forward_backward, {}

    def noted(self, batch):
        summary = step(self, batch)
        seen.setdefault(self.epoch, []).append(summary["loss"])
        return summary

    monkeypatch.setattr(kind, "forward_backward", noted)
    assert tiny.run(tmp_path, "CoOp", pairs=HALF) == 0
    assert curves(tmp_path)["train_loss"] == pytest.approx([sum(v) / len(v) for v in seen.values()])
    assert len(seen[0]) > 1


@pytest.mark.parametrize("method", ["CoOp", "MaPLe", "PromptSRC", "ANPrompt", "DPSEP", "NLPrompt"])
def test_the_last_point_is_the_result_and_training_does_not_notice(tiny, tmp_path, method):
    """Weights with and without watching are equal to the last bit, also where inference has draws of its own."""
    assert tiny.run(tmp_path / "watched", method, pairs=HALF) == 0
    assert tiny.run(tmp_path / "alone", method, pairs=HALF | {EVERY: 0}) == 0
    watched, alone = weights(tmp_path / "watched"), weights(tmp_path / "alone")
    assert all(torch.equal(watched[name], alone[name]) for name in watched)
    assert result(tmp_path / "watched") == result(tmp_path / "alone")
    assert curves(tmp_path / "watched")["test"][-1] == result(tmp_path / "watched")["accuracy"]
    assert not (tmp_path / "alone" / "curves.json").exists()
    log = (tmp_path / "watched" / "log.txt").read_text()
    assert log.count("] watched: test ") == 3
    assert log.count("* accuracy: ") == 1, "diagnostics do not look like a result"


def test_global_random_states_go_on_untouched(tiny, tmp_path, monkeypatch):
    """Also where inference draws."""
    trainer = tiny.trainer(tmp_path, "CoOp", HALF)
    real = trainer.model_inference
    monkeypatch.setattr(trainer, "model_inference", lambda image: real(image) + 0 * torch.rand(1))
    trainer.before_train()
    trainer.epoch, state = 0, torch.get_rng_state()
    trainer.set_model_mode("train")
    trainer.curves.after_epoch()
    assert torch.equal(torch.get_rng_state(), state) and trainer.model.training


class Stopped(BaseException):
    """A kill: nothing may catch it."""


@pytest.mark.parametrize("moment", ["in_epoch", "before_save"])
@pytest.mark.parametrize("method", ["CoOp", "JoAPR"])
def test_an_interrupted_run_ends_with_the_same_file(tiny, tmp_path, monkeypatch, method, moment):
    pairs = HALF | {"TRAIN.ROLLING_SECONDS": 0, "OPTIM.MAX_EPOCH": 4}
    assert tiny.run(tmp_path / "whole", method, pairs=pairs) == 0
    kind = TRAINER_REGISTRY.get(method)
    name = "forward_backward" if moment == "in_epoch" else "save_model"
    real = getattr(kind, name)

    def stop(self, *args, **kwargs):
        if self.epoch == 2:
            raise Stopped
        return real(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(kind, name, stop)
        with pytest.raises(Stopped):
            tiny.run(tmp_path / "broken", method, pairs=pairs)
    assert curves(tmp_path / "broken")["epochs"] == ([1, 2] if moment == "in_epoch" else [1, 2, 3])
    assert tiny.run(tmp_path / "broken", method, pairs=pairs) == 0
    assert (tmp_path / "broken" / "curves.json").read_bytes() == (tmp_path / "whole" / "curves.json").read_bytes()


def test_a_damaged_file_is_begun_anew(tiny, tmp_path, caplog):
    trainer = tiny.trainer(tmp_path, "CoOp", HALF)
    for text in ("{", "[]", '{"epochs": [1]}', json.dumps({key: [1] * (1 + (key == "test")) for key in KEYS})):
        (tmp_path / "curves.json").write_text(text)
        trainer.start_epoch = 1
        from trainers.label_noise.memorisation import MemorisationCurves

        assert MemorisationCurves(trainer).curves == {key: [] for key in KEYS}
        assert "begin anew" in caplog.text
        caplog.clear()


@pytest.mark.parametrize(("every", "epochs"), [(2, [2, 3]), (3, [3]), (5, [3])])
def test_how_often(tiny, tmp_path, every, epochs):
    assert tiny.run(tmp_path, "CoOp", pairs=HALF | {EVERY: every}) == 0
    assert curves(tmp_path)["epochs"] == epochs


def test_a_method_has_its_own_default(tiny, tmp_path, monkeypatch):
    trainer = tiny.trainer(tmp_path, "CoOp", HALF)
    assert watch_every(trainer) == 1
    monkeypatch.setattr(type(trainer), "config_defaults", {EVERY: 10})
    assert watch_every(trainer) == 10
    assert watch_every(tiny.trainer(tmp_path, "CoOp", HALF | {EVERY: 0})) == 0


def test_no_curves_without_noise(tiny, tmp_path):
    assert tiny.run(tmp_path, "CoOp") == 0
    assert not (tmp_path / "curves.json").exists()


def test_no_item_no_number(tiny, tmp_path):
    assert tiny.run(tmp_path, "CoOp", pairs=HALF | {D + "RATE": 0.0}) == 0
    found = curves(tmp_path)
    assert found["noisy_flipped"] == found["true_flipped"] == [None] * 3
    assert None not in found["true_kept"] + found["test"] + found["train_loss"]


def test_text_is_encoded_once_a_point(tiny, tmp_path, monkeypatch):
    kind = TRAINER_REGISTRY.get("CoOp")
    calls, real = [], kind.encode_text
    monkeypatch.setattr(kind, "encode_text", lambda self: calls.append(self.model.training) or real(self))
    assert tiny.run(tmp_path, "CoOp", pairs=HALF) == 0
    assert calls.count(False) == 3 + 1, "a point an epoch, and the final test"
