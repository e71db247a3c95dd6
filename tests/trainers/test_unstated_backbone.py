"""Released prompts do not say on which backbone they were learned: whatever loads them tells zero-shot CLIP's accuracy
on the first test batch, by which a wrong tower shows."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from helpers import saved_weights
from reference_files import save_reference

import robustness.__main__ as robustness
from clipkit import load_clip

LINE = "does not say on which backbone its prompts were learned"


@pytest.fixture(scope="module")
def released(tiny, tmp_path_factory):
    """The folder of a CoOp checkpoint as the published code saves it."""
    folder = tmp_path_factory.mktemp("released")
    save_reference(folder, "CoOp", load_clip("", str(tiny.backbone)))
    return folder


@pytest.fixture(scope="module")
def first_batch(tiny, tmp_path_factory):
    """Zero-shot CLIP's accuracy on the first five test images, from the outputs of its own test."""
    folder = tmp_path_factory.mktemp("zero-shot")
    assert tiny.run(folder, "ZeroshotCLIP", ("--eval-only",)) == 0
    with np.load(folder / "outputs.npz") as stored:
        return 100 * float((stored["prediction"][:5] == stored["label"][:5]).mean())


def told(folder) -> dict | None:
    found = json.loads((folder / "results.json").read_text()).get("backbone_not_stated")
    lines = sum(LINE in line for line in (folder / "log.txt").read_text().splitlines())
    assert lines == (found is not None)  # once a run
    return found


def ways(released):
    file = released / "prompt_learner" / "model.pth.tar-5"
    return {
        "--model-dir": ("CoOp", ("--eval-only", "--model-dir", str(released), "--load-epoch", "5"), {}),
        "tested": ("CoOp", ("--eval-only",), {"MODEL.INIT_WEIGHTS": file}),
        "trained on": ("CoOp", (), {"MODEL.INIT_WEIGHTS": file, "OPTIM.MAX_EPOCH": 1}),
        "at test time": ("RTPT", ("--eval-only",), {"TRAINER.TTA.CTX_FROM": file, "TRAINER.TTA.N_VIEWS": 4}),
    }


@pytest.mark.parametrize("way", ["--model-dir", "tested", "trained on", "at test time"])
def test_zero_shot_accuracy_is_told(way, released, first_batch, tiny, tmp_path):
    method, flags, pairs = ways(released)[way]
    assert tiny.run(tmp_path / "run", method, flags, pairs) == 0
    file = released / "prompt_learner" / "model.pth.tar-5"
    found = told(tmp_path / "run")
    assert found == {"file": str(file), "images": 5, "classes": 2, "zero_shot_accuracy": pytest.approx(first_batch)}
    assert f"on the first test batch: {first_batch:.1f}%" in (tmp_path / "run" / "log.txt").read_text()


def test_under_attack_too(released, first_batch, tiny, tmp_path):
    flags = ("--model-dir", str(released), "--load-epoch", "5")
    pairs = {"ATTACK.MODE": "T", "ATTACK.STEPS": 1, "ATTACK.NAME": "pgd"}
    assert robustness.run(tiny.arguments(tmp_path / "run", "CoOp", flags, pairs)) == 0
    assert told(tmp_path / "run")["file"].endswith("model.pth.tar-5")


def test_prompts_that_say_their_backbone_need_no_such_line(tiny, tmp_path):
    assert tiny.run(tmp_path / "run", "CoOp", (), {"OPTIM.MAX_EPOCH": 1}) == 0
    flags = ("--eval-only", "--model-dir", str(tmp_path / "run"), "--load-epoch", "1")
    assert tiny.run(tmp_path / "test", "CoOp", flags) == 0
    assert told(tmp_path / "run") is None and told(tmp_path / "test") is None


def test_the_line_changes_no_number(released, tiny, tmp_path):
    """The same prompts, trained on, with and without the name of their backbone."""
    shutil.copytree(released, tmp_path / "said")
    file = tmp_path / "said" / "prompt_learner" / "model.pth.tar-5"
    identity = tiny.trainer(tmp_path / "x").run_identity()
    checkpoint = torch.load(file, weights_only=False)
    torch.save({"state_dict": checkpoint["state_dict"], "epoch": 5, "run": {"backbone": identity["backbone"]}}, file)
    for name, folder in (("unsaid", released), ("said", tmp_path / "said")):
        pairs = {"MODEL.INIT_WEIGHTS": folder / "prompt_learner" / "model.pth.tar-5"}
        assert tiny.run(tmp_path / "runs" / name, "CoOp", (), pairs) == 0
    a, b = (saved_weights(tmp_path / "runs" / name) for name in ("unsaid", "said"))
    assert told(tmp_path / "runs" / "said") is None and all(torch.equal(a[key], b[key]) for key in a)


def test_a_backbone_must_be_given(released, tiny, tmp_path, capsys):
    flags = ("--eval-only", "--model-dir", str(released), "--load-epoch", "5")
    assert tiny.run(tmp_path / "run", "CoOp", flags, {"MODEL.BACKBONE.PATH": "", "MODEL.BACKBONE.NAME": ""}) == 2
    error = capsys.readouterr().err
    assert (
        "MODEL.BACKBONE.NAME" in error and error.count("\n") == 1 and not (tmp_path / "run" / "results.json").exists()
    )
