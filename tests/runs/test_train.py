"""Whole runs of train.py: what they write, and that the same seed gives the same numbers whatever the circumstances."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from helpers import METHODS
from helpers import saved_weights as weights

import clipkit
from runs.about import CELL, FIELDS
from runs.targets import ROOT

# What a checkpoint holds beside what is learned.
MADE = ("noise_ctx", "topk", "memory_item", "running_mean", "running_var", "num_batches_tracked")
MADE += ("values", "alpha", "beta")  # of a cache


def results(folder: Path) -> dict:
    return json.loads((folder / "results.json").read_text())


def losses(folder: Path) -> list[str]:
    """The training lines of a run's log, without their timings."""
    lines = (folder / "log.txt").read_text().splitlines()
    return [line.partition(" loss ")[2].partition(" eta ")[0] for line in lines if line.startswith("epoch [")]


@pytest.fixture(scope="module", params=METHODS)
def finished(request, tiny, tmp_path_factory) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp(request.param) / "run"
    assert tiny.run(folder, request.param) == 0
    return request.param, folder


def test_a_run_writes_log_record_config_and_checkpoint(finished):
    trainer, folder = finished
    log = (folder / "log.txt").read_text()
    for line in ("Finish training", "=> result", "* total: 12", "Deploy the last-epoch model", "* accuracy: "):
        assert line in log
    record = results(folder)
    assert record["trainer"] == trainer and record["seed"] == 1 and record["subsample_classes"] == "base"
    assert record["results"]["total"] == 12 and set(record["results"]["per_class"]) == {"0", "1", "2"}
    assert f"* accuracy: {record['results']['accuracy']:.1f}%" in log
    assert record["config"]["OPTIM"]["MAX_EPOCH"] == 3 and record["versions"]["torch"] == torch.__version__
    assert record["versions"]["robustprompt"] == clipkit.__version__
    assert record["protocol"] is record["suite"] is record["variant"] is None  # called by hand
    assert record["wall_seconds"] > 0 and record["peak_memory_bytes"] > 10**6
    assert (folder / "config.yaml").is_file() and not list(folder.glob("*.tmp"))


def test_every_field_of_the_record_is_explained(finished):
    trainer, folder = finished
    table = (ROOT / "docs" / "protocols.md").read_text().partition("## results.json")[2].partition("\n## ")[0]
    if trainer == "CoOp":  # others have fields of their own
        fields = {*results(folder), *FIELDS, *CELL} - {"version"}  # of the file's form
        assert not [key for key in fields if f"`{key}`" not in table]


def test_checkpoints_hold_learnable_tensors_only(finished):
    trainer, folder = finished
    for file in folder.glob("*/model.pth.tar-3"):
        assert torch.load(file, weights_only=True)["optimizer"] is None  # the run is over: nothing steps again
    saved = sum(x.numel() for name, x in weights(folder).items() if name.rpartition(".")[2] not in MADE)
    assert saved == results(folder)["learnable_numbers"] > 0
    if trainer == "CoOp":
        assert set(weights(folder)) == {"ctx"}
    if trainer in ("ANPrompt", "CoPrompt"):
        assert results(folder)["language"]["main"]["sha256"]


def test_training_changes_the_prompts_and_lowers_the_loss(finished, tiny, tmp_path):
    kind, folder = finished
    trainer = tiny.trainer(tmp_path, kind, {"OPTIM.WARMUP_EPOCH": -1})
    start = trainer.model.state_dict()
    assert all(not torch.equal(tensor, start[name]) for name, tensor in weights(folder).items() if name != "values")
    trainer.epoch, trainer.batch_idx, trainer.num_batches = 0, 0, 10**6
    batch = next(iter(trainer.train_loader_x))  # the same images again and again
    trajectory = [trainer.forward_backward(batch)["loss"] for _ in range(15)]
    assert trajectory[-1] < 0.97 * trajectory[0]


def test_a_finished_run_is_not_run_again(finished, tiny, capsys):
    trainer, folder = finished
    before = (folder / "results.json").stat().st_mtime_ns
    assert tiny.run(folder, trainer) == 0
    assert "Finished already" in capsys.readouterr().out
    assert (folder / "results.json").stat().st_mtime_ns == before


def test_another_config_does_not_land_in_a_used_folder(finished, tiny, capsys):
    trainer, folder = finished
    assert tiny.run(folder, trainer, pairs={"OPTIM.LR": 0.2}) == 2
    assert "OPTIM.LR" in capsys.readouterr().err


@pytest.fixture(scope="module")
def bare_checkpoint(tiny, tmp_path_factory) -> Path:
    """A run of one epoch that has lost its config.yaml and results.json."""
    folder = tmp_path_factory.mktemp("bare") / "run"
    assert tiny.run(folder, pairs={"OPTIM.MAX_EPOCH": 1}) == 0
    for file in ("config.yaml", "results.json"):
        (folder / file).unlink()
    return folder


def test_a_checkpoint_is_gone_on_from_under_the_same_settings(tiny, tmp_path, bare_checkpoint):
    flags = ("--resume", bare_checkpoint)
    assert tiny.run(tmp_path / "more", flags=flags, pairs={"OPTIM.MAX_EPOCH": 2}) == 0
    assert "epoch [1/2]" not in (tmp_path / "more" / "log.txt").read_text()


@pytest.mark.parametrize(
    "pairs",
    [
        {"OPTIM.LR": 0.2},
        {"OPTIM.LR_SCHEDULER": "single_step"},
        {"DATALOADER.TRAIN_X.BATCH_SIZE": 5},
        {"INPUT.TRANSFORMS": ("random_flip", "normalize")},
        {"LOSS.NAME": "gce"},
        {"TRAINER.COOP.N_CTX": 3},
    ],
)
def test_a_checkpoint_is_not_gone_on_from_under_other_settings(tiny, tmp_path, capsys, bare_checkpoint, pairs):
    """They are in the checkpoint itself: config.yaml may be lost, and --resume names another folder."""
    shutil.copytree(bare_checkpoint, tmp_path / "run")
    longer = {"OPTIM.MAX_EPOCH": 2} | pairs
    capsys.readouterr()
    for folder, flags in (("run", ()), ("other", ("--resume", tmp_path / "run"))):
        assert tiny.run(tmp_path / folder, flags=flags, pairs=longer) == 2
        assert next(iter(pairs)) in (error := capsys.readouterr().err) or "ctx" in error


@pytest.mark.parametrize(
    "pairs",
    [{"DATALOADER.NUM_WORKERS": 2}, {"TEST.FEATURE_BANK": False}],
    ids=["workers", "without the feature bank"],
)
def test_same_numbers_whatever_the_circumstances(finished, tiny, tmp_path, pairs):
    trainer, folder = finished
    assert tiny.run(tmp_path / "run", trainer, pairs=pairs) == 0
    steps = len(losses(folder))
    assert losses(tmp_path / "run") == losses(folder)
    assert steps == 9 or (steps >= 7 and (folder / "decisions.json").is_file())  # who decides has steps of its own
    for name, tensor in weights(tmp_path / "run").items():
        assert torch.equal(tensor, weights(folder)[name]), name
    assert results(tmp_path / "run")["results"] == results(folder)["results"]


def test_interrupted_and_resumed_ends_with_the_same_numbers(finished, tiny, tmp_path, monkeypatch, capsys):
    from dassl.engine import TRAINER_REGISTRY

    trainer, folder = finished
    kind = TRAINER_REGISTRY.get(trainer)
    after_epoch = kind.after_epoch

    def stop_in_the_second(self):
        after_epoch(self)
        if self.epoch == 1:
            raise KeyboardInterrupt

    target = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(kind, "after_epoch", stop_in_the_second)
        assert tiny.run(target, trainer, pairs={"TRAIN.ROLLING_SECONDS": 0}) == 130
    assert not (target / "results.json").exists()
    assert tiny.run(target, trainer) == 0
    assert "will resume training" in capsys.readouterr().out
    for name, tensor in weights(target).items():
        assert torch.equal(tensor, weights(folder)[name]), name
    assert results(target)["results"] == results(folder)["results"]
    assert "Finish training" in (target / "log.txt").read_text()


def test_base_checkpoint_is_tested_on_new_classes(finished, tiny, tmp_path):
    trainer, folder = finished
    new = {"DATASET.SUBSAMPLE_CLASSES": "new"}
    flags = ("--eval-only", "--model-dir", folder, "--load-epoch", 3)
    assert tiny.run(tmp_path / "new", trainer, flags, new) == 0
    record = results(tmp_path / "new")
    assert record["results"]["total"] == 8 and record["mode"] == "test"
    assert not list((tmp_path / "new").glob("*/model*"))


def test_evaluating_a_checkpoint_repeats_its_result(finished, tiny, tmp_path):
    trainer, folder = finished
    flags = ("--eval-only", "--model-dir", folder, "--load-epoch", 3)
    assert tiny.run(tmp_path / "again", trainer, flags) == 0
    assert results(tmp_path / "again")["results"] == results(folder)["results"]


def test_zero_shot(tiny, tmp_path):
    for trainer in ("ZeroshotCLIP", "ZeroshotCLIP2"):
        assert tiny.run(tmp_path / trainer, trainer, ("--eval-only",)) == 0
        assert results(tmp_path / trainer)["results"]["total"] == 12
    both = [results(tmp_path / t)["learnable_numbers"] for t in ("ZeroshotCLIP", "ZeroshotCLIP2")]
    assert both == [0, 0]


def test_no_train_builds_everything_and_makes_no_result(tiny, tmp_path):
    assert tiny.run(tmp_path / "run", "CoOp", ("--no-train",)) == 0
    assert not (tmp_path / "run" / "results.json").exists()
    assert tiny.run(tmp_path / "run", "CoOp", pairs={"OPTIM.MAX_EPOCH": 1}) == 0  # it does not stand in the way
    assert results(tmp_path / "run")["mode"] == "train"
