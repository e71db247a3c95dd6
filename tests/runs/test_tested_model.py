"""What --eval-only tests: a trained model, on the classes that it has something for."""

from __future__ import annotations

import shutil

import pytest
import torch

PER_CLASS = {  # every method that can learn a context for each class
    "CoOp": "TRAINER.COOP.CSC",
    "KgCoOp": "TRAINER.COOP.CSC",
    "PTNL": "TRAINER.PTNL.CSC",
    "NLPrompt": "TRAINER.NLPROMPT.CSC",
    "JoAPR": "TRAINER.JOAPR.CSC",
}
FOUR = {"DATASET.SUBSAMPLE_CLASSES": "all"}


@pytest.fixture(scope="module")
def even(tiny, tmp_path_factory):
    """The root of a copy of the dataset with four classes, so that base and new are equal in number."""
    import json

    root = tmp_path_factory.mktemp("even")
    shutil.copytree(tiny.root / "tiny", root / "tiny", ignore=shutil.ignore_patterns("split_fewshot"))
    file = root / "tiny" / "split_zhou_Tiny.json"
    split = {part: [item for item in items if item[1] < 4] for part, items in json.loads(file.read_text()).items()}
    file.write_text(json.dumps(split))
    return root


def evaluation(folder) -> tuple:
    return ("--eval-only", "--model-dir", folder, "--load-epoch", 1)


def csc_keys() -> set[str]:
    from dassl.engine import TRAINER_REGISTRY

    methods = [TRAINER_REGISTRY.get(name) for name in TRAINER_REGISTRY.registered_names()]
    return {key for m in methods for key in getattr(m, "config_defaults", {}) if key.endswith(".CSC")}


def test_the_list_of_methods_is_complete():
    assert csc_keys() - set(PER_CLASS.values()) <= {"TRAINER.VISPROMPT.CSC"}  # which refuses it


@pytest.mark.parametrize("method", PER_CLASS)
def test_contexts_of_classes_are_tested_on_these_classes(tiny, even, tmp_path, capsys, method):
    pairs = {PER_CLASS[method]: True, "OPTIM.MAX_EPOCH": 1}
    root = ("--root", even)
    assert tiny.run(tmp_path / "base", method, root, pairs) == 0
    again = (*root, *evaluation(tmp_path / "base"))
    assert tiny.run(tmp_path / "again", method, again, pairs) == 0
    capsys.readouterr()
    assert tiny.run(tmp_path / "new", method, again, {**pairs, "DATASET.SUBSAMPLE_CLASSES": "new"}) == 2
    error = capsys.readouterr().err
    assert "ctx has a row for each class that it was trained on (striped circle, dotted star)" in error
    assert "checkered house, plain tree" in error and not (tmp_path / "new").exists()


def test_a_reference_file_tells_its_classes_by_their_embedded_names(tiny, even, tmp_path, capsys):
    """Released checkpoints name no classes, but hold the tokens of the names; without these there is a warning."""
    root, pairs = ("--root", even), {"TRAINER.COOP.CSC": True, "OPTIM.MAX_EPOCH": 1}
    assert tiny.run(tmp_path / "base", "CoOp", root, pairs) == 0
    file = tmp_path / "base" / "prompt_learner" / "model.pth.tar-1"
    prompts = tiny.trainer(tmp_path / "x", pairs={**pairs, "DATASET.ROOT": even}).model.prompts
    suffix = torch.nn.functional.pad(prompts.token_suffix, (0, 0, 0, 3)).half()  # up to 77 tokens there
    new = {**pairs, "DATASET.SUBSAMPLE_CLASSES": "new"}
    flags = (*root, *evaluation(tmp_path / "base"))

    def save(**more):
        checkpoint = torch.load(file, weights_only=True)
        torch.save({"state_dict": {"ctx": checkpoint["state_dict"]["ctx"], **more}, "epoch": 1}, file)

    save(token_suffix=suffix[:2])
    assert tiny.run(tmp_path / "own", "CoOp", flags, pairs) == 0
    assert "does not name its classes" not in capsys.readouterr().out
    assert tiny.run(tmp_path / "new", "CoOp", flags, new) == 2
    assert "this run's classes are others" in capsys.readouterr().err
    save()
    assert tiny.run(tmp_path / "new", "CoOp", flags, new) == 0
    assert "does not name its classes" in capsys.readouterr().out


def test_a_method_that_learns_is_not_tested_untrained(tiny, tmp_path, capsys):
    for method in ("CoOp", "MaPLe"):
        assert tiny.run(tmp_path / method, method, ("--eval-only",)) == 2
        assert "needs the folder of a trained run" in capsys.readouterr().err and not (tmp_path / method).exists()
    assert tiny.run(tmp_path / "run", pairs={"OPTIM.MAX_EPOCH": 1}) == 0
    weights = {"MODEL.INIT_WEIGHTS": tmp_path / "run" / "prompt_learner" / "model.pth.tar-1"}
    assert tiny.run(tmp_path / "given", "CoOp", ("--eval-only",), weights) == 0


def test_sets_for_testing_are_tested_and_not_trained_on(tiny, tmp_path, capsys, monkeypatch):
    from helpers import Tiny

    assert tiny.run(tmp_path / "run", pairs={"OPTIM.MAX_EPOCH": 1, **FOUR}) == 0
    monkeypatch.setattr(Tiny, "test_only", True)
    monkeypatch.setattr(Tiny, "train_on", "Big")
    assert tiny.run(tmp_path / "no", "CoOp") == 2
    assert "Tiny is for testing only" in capsys.readouterr().err and not (tmp_path / "no").exists()
    assert tiny.run(tmp_path / "test", "CoOp", evaluation(tmp_path / "run"), FOUR) == 0
    assert tiny.run(tmp_path / "zero-shot", "ZeroshotCLIP") == 0
    noise = {"DATASET.NOISE.TYPE": "sym_other", "DATASET.NOISE.RATE": 0.5}
    assert tiny.run(tmp_path / "noisy", "ZeroshotCLIP", pairs=noise) == 2
    assert "no training labels for DATASET.NOISE to make wrong" in capsys.readouterr().err


def test_all_sets_for_testing_say_what_to_train_on():
    from dassl.data.datasets import DATASET_REGISTRY

    kinds = [DATASET_REGISTRY.get(name) for name in DATASET_REGISTRY.registered_names()]
    only = {kind.__name__: kind.train_on for kind in kinds if getattr(kind, "test_only", False)}
    shifted = {"ImageNetV2", "ImageNetSketch", "ImageNetA", "ImageNetR"}
    assert set(only) == shifted | {"ShapesSketch", "ShapesClutter", "ShapesInverted"} and all(only.values())
