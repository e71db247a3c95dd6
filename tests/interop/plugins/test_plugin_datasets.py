"""Dataset files of the field, with our trainers and with plugins' own."""

from __future__ import annotations

import pickle

import pytest
from plugin_files import COOP, plugin_arguments, record, write_pets

from dassl.data.datasets import Datum
from train import run

NOISE = {"DATASET.NOISE.TYPE": "sym_other", "DATASET.NOISE.RATE": 0.5}
FILES = {"FieldPets": COOP / "datasets" / "field_pets.py", "PlainSet": COOP / "datasets" / "plain_set.py"}


@pytest.fixture(scope="module")
def pets(tmp_path_factory):
    root = tmp_path_factory.mktemp("pets")
    write_pets(root)
    return root


def settings(name: str, pets) -> dict:
    return {"DATASET.NAME": name, "DATASET.ROOT": pets, "OPTIM.MAX_EPOCH": 1, "DATASET.NUM_SHOTS": 3}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("trainer", ["CoOp", "FieldCoOp"])
def test_it_serves_every_trainer_with_noise_and_attack(name, trainer, tiny, pets, tmp_path):
    attack = {"TEST.ADV_SET": "make", "ATTACK.EPS": 64.0, "ATTACK.STEPS": 2, "ATTACK.DIR": tmp_path / "adv"}
    pairs = settings(name, pets) | NOISE | attack
    flags = ("--plugin", FILES[name])
    if trainer == "CoOp":
        assert tiny.run(tmp_path / "run", "CoOp", flags, pairs) == 0
    else:
        assert run(plugin_arguments(tiny, tmp_path / "run", trainer, flags, pairs)) == 0
    found = record(tmp_path / "run")
    halves = name == "FieldPets"  # the plain one does not look at SUBSAMPLE_CLASSES
    assert found["classnames"] == ["grey_cat", "old_dog"] + ([] if halves else ["young_dog", "red_cat"])
    assert found["noise"]["flipped"] > 0 and found["adversarial"]["images"] == (6 if halves else 12)
    assert found["plugins"]["dataset"]["from"] == f"plugin {FILES[name]}"


def test_few_shot_pickles_are_the_fields(tiny, pets, tmp_path):
    """Written with the paths of upstream's class, read back, and one draw for both halves."""
    flags = ("--plugin", FILES["FieldPets"])
    base = settings("FieldPets", pets) | {"DATASET.NUM_SHOTS": 2}
    assert tiny.run(tmp_path / "base", "CoOp", flags, base) == 0
    file = pets / "field_pets" / "split_fewshot" / "shot_2-seed_1.pkl"
    assert b"dassl.data.datasets.base_dataset" in file.read_bytes()
    kept = pickle.loads(file.read_bytes())
    assert len(kept["train"]) == 8 and isinstance(kept["train"][0], Datum) and kept["val"]
    stamp = file.stat().st_mtime_ns
    again = base | {"OPTIM.LR": 0.01}
    assert tiny.run(tmp_path / "again", "CoOp", flags, again) == 0
    assert file.stat().st_mtime_ns == stamp
    assert record(tmp_path / "again")["items"] == record(tmp_path / "base")["items"]
    assert "Loading preprocessed few-shot data from" in (tmp_path / "again" / "log.txt").read_text()


def test_resume_on_a_plugins_dataset(tiny, pets, tmp_path, monkeypatch):
    from trainers.coop import CoOp

    pairs = settings("FieldPets", pets) | {"OPTIM.MAX_EPOCH": 2, "TRAIN.CHECKPOINT_FREQ": 1}
    flags = ("--plugin", FILES["FieldPets"])
    assert tiny.run(tmp_path / "whole", "CoOp", flags, pairs) == 0

    def stop(self):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(CoOp, "before_epoch", lambda self: stop(self) if self.epoch == 1 else None)
        assert tiny.run(tmp_path / "halted", "CoOp", flags, pairs) == 130
    assert tiny.run(tmp_path / "halted", "CoOp", flags, pairs) == 0
    assert record(tmp_path / "halted")["results"] == record(tmp_path / "whole")["results"]


def test_one_name_for_two_classes_is_said_of_a_plugin_s_set_too(caplog):
    from yacs.config import CfgNode

    from dassl.data.datasets import DatasetBase
    from datasets.base import _check_foreign

    items = [Datum(__file__, label, classname=name) for label, name in enumerate(("old_dog", "Old dog", "cat"))]
    _check_foreign(CfgNode({"DATASET": {"NAME": "Theirs"}}), DatasetBase(train_x=items, test=items))
    assert "Theirs: 1 names are shared by several classes, such as 'old dog' by labels 0, 1" in caplog.text
