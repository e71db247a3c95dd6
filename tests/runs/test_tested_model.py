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
    weights = {"MODEL.INIT_WEIGHTS": tmp_path / "base" / "prompt_learner" / "model.pth.tar-1"}
    for flags in (("--eval-only",), ()):
        assert tiny.run(tmp_path / "own" / str(len(flags)), method, (*root, *flags), pairs | weights) == 0
        new = {**pairs, **weights, "DATASET.SUBSAMPLE_CLASSES": "new"}
        assert tiny.run(tmp_path / "new", method, (*root, *flags), new) == 2
        assert "ctx has a row for each class" in capsys.readouterr().err and not (tmp_path / "new").exists()


def test_weights_that_do_not_fit_are_refused(tiny, tmp_path, capsys):
    assert tiny.run(tmp_path / "run", pairs={"OPTIM.MAX_EPOCH": 1}) == 0
    other = {"OPTIM.MAX_EPOCH": 1, "MODEL.INIT_WEIGHTS": tmp_path / "run" / "prompt_learner" / "model.pth.tar-1"}
    capsys.readouterr()
    assert tiny.run(tmp_path / "train", "MaPLe", pairs=other) == 2
    assert "(MODEL.INIT_WEIGHTS) fits this method" in capsys.readouterr().err
    assert tiny.run(tmp_path / "test", "KgCoOp", ("--eval-only",), other) == 2
    assert "was trained with another method (CoOp)" in capsys.readouterr().err
    assert tiny.run(tmp_path / "none", "ZeroshotCLIP", ("--eval-only",), other) == 2
    assert "learns nothing, so MODEL.INIT_WEIGHTS has no effect" in capsys.readouterr().err


def test_a_test_of_another_seeds_model_is_told(tiny, tmp_path, capsys):
    assert tiny.run(tmp_path / "run", pairs={"OPTIM.MAX_EPOCH": 1}) == 0
    for seed in (1, 3):
        assert tiny.run(tmp_path / f"test{seed}", "CoOp", (*evaluation(tmp_path / "run"), "--seed", seed)) == 0
        assert ("was trained with seed 1, but this run has seed 3" in capsys.readouterr().out) == (seed == 3)


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
    shifted = {"ImageNetV2", "ImageNetSketch", "ImageNetA", "ImageNetR", "Caltech256", "Caltech101TTC", "EuroSATTTC",
               "SUN397TTC", "Food101TTC", "DescribableTexturesTTC", "OxfordFlowersTTC"}  # fmt: skip
    assert set(only) == shifted | {"ShapesSketch", "ShapesClutter", "ShapesInverted"} and all(only.values())


PLUGIN = """
import torch
from torch import nn
from dassl.engine import TRAINER_REGISTRY, TrainerX
from dassl.metrics import compute_accuracy
from dassl.optim import build_lr_scheduler, build_optimizer
from dassl.utils import load_checkpoint


class Learner(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.ctx = nn.Parameter(torch.randn(classes, 3, 1))

    def forward(self, image):
        return image.mean((2, 3)) @ self.ctx[:, :, 0].t()


@TRAINER_REGISTRY.register()
class PluginPerClass(TrainerX):
    def build_model(self):
        self.model = Learner(self.num_classes)
        self.optim = build_optimizer(self.model, self.cfg.OPTIM)
        self.sched = build_lr_scheduler(self.optim, self.cfg.OPTIM)
        self.register_model("prompt_learner", self.model, self.optim, self.sched)

    def parse_batch_train(self, batch):
        return batch["img"].to(self.device), batch["label"].to(self.device)

    def forward_backward(self, batch):
        image, label = self.parse_batch_train(batch)
        loss = nn.functional.cross_entropy(self.model(image), label)
        self.model_backward_and_update(loss)
        return {"loss": loss.item()}

    def load_model(self, directory, epoch=None):
        if directory:
            file = f"{directory}/prompt_learner/model.pth.tar-{epoch}"
            self.model.load_state_dict(load_checkpoint(file)["state_dict"], strict=False)
"""


def test_a_plugin_is_held_to_the_same(tiny, even, tmp_path, capsys):
    """Which loads, and perhaps tests, in its own way."""
    (tmp_path / "per_class.py").write_text(PLUGIN)
    flags = ("--root", even, "--plugin", tmp_path / "per_class.py")
    pairs = {"OPTIM.MAX_EPOCH": 1}

    def refused(says: str, *more, **changed) -> None:
        capsys.readouterr()
        assert tiny.run(tmp_path / "no", "PluginPerClass", (*flags, *more), {**pairs, **changed}) == 2
        assert says in capsys.readouterr().err and not (tmp_path / "no").exists()

    assert tiny.run(tmp_path / "base", "PluginPerClass", flags, pairs) == 0
    test = evaluation(tmp_path / "base")
    assert tiny.run(tmp_path / "again", "PluginPerClass", (*flags, *test), pairs) == 0
    refused("has a row for each class", *test, **{"DATASET.SUBSAMPLE_CLASSES": "new"})
    refused("needs the folder of a trained run", "--eval-only")
    file = tmp_path / "base" / "prompt_learner" / "model.pth.tar-1"
    checkpoint = torch.load(file, weights_only=True)
    checkpoint["state_dict"]["ctx"][0, 0] = float("nan")
    torch.save(checkpoint, file)
    refused("infinite or NaN", *test)
    refused("NaN", **{"OPTIM.LR": 1e38, "OPTIM.MAX_EPOCH": 9, "OPTIM.WARMUP_EPOCH": -1})
