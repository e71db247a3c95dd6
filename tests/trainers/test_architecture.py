"""What shapes a learner travels in its checkpoint and wins over the settings of the dataset that is tested."""

from __future__ import annotations

import json

import pytest
import torch

import train

DEEP = {"TRAINER.CoPrompt.PROMPT_DEPTH": 3, "TRAINER.CoPrompt.N_CTX": 3, "DATALOADER.K_TRANSFORMS": 2}


def evaluation(folder) -> tuple:
    return ("--eval-only", "--model-dir", folder, "--load-epoch", 1)


@pytest.fixture(scope="module")
def trained(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("coprompt") / "run"
    assert tiny.run(folder, "CoPrompt", pairs={**DEEP, "OPTIM.MAX_EPOCH": 1}) == 0
    return folder


def node_of_a_test(tiny, output, folder, pairs) -> dict:
    """The config node that a test of `folder` runs with when the tested dataset's table says otherwise."""
    args = tiny.arguments(output, "CoPrompt", evaluation(folder), pairs)
    cut = [i for i, a in enumerate(args) if a.startswith("TRAINER.CoPrompt")]  # not from the command line
    args = [a for i, a in enumerate(args) if i not in cut and i - 1 not in cut]
    return train.setup_cfg(train.build_parser().parse_args(args)).TRAINER.CoPrompt


def test_the_checkpoint_wins_over_the_tested_datasets_table(tiny, tmp_path, trained):
    node = node_of_a_test(tiny, tmp_path / "x", trained, {"DATASET.NAME": "ImageNet"})  # whose table says 4 and 12
    assert (node.N_CTX, node.PROMPT_DEPTH) == (3, 3)


def test_a_reference_file_tells_by_its_shapes(tiny, tmp_path, trained):
    file = trained / "MultiModalPromptLearner" / "model.pth.tar-1"
    checkpoint = torch.load(file, weights_only=True)
    other = tmp_path / "reference" / "MultiModalPromptLearner"
    other.mkdir(parents=True)
    torch.save({"state_dict": checkpoint["state_dict"], "epoch": 1}, other / "model.pth.tar-1")
    node = node_of_a_test(tiny, tmp_path / "x", other.parent, {"DATASET.NAME": "EuroSAT"})
    assert (node.N_CTX, node.PROMPT_DEPTH) == (3, 3)


def test_mmrl_tells_by_its_shapes():
    from trainers.mmrl import MMRL

    state = {"representation_learner.compound_rep_tokens": torch.zeros(5, 2048)}
    assert MMRL.architecture_of(state) == {"TRAINER.MMRL.N_REP_TOKENS": 5, "TRAINER.MMRL.REP_DIM": 2048}


def test_a_test_on_other_classes_works_without_the_settings(tiny, tmp_path, trained):
    """The YAML's depth of 9 does not fit this backbone; the checkpoint's 3 does."""
    args = tiny.arguments(tmp_path / "new", "CoPrompt", evaluation(trained), {"DATASET.SUBSAMPLE_CLASSES": "new"})
    cut = [i for i, a in enumerate(args) if a.startswith("TRAINER.CoPrompt")]
    assert train.run([a for i, a in enumerate(args) if i not in cut and i - 1 not in cut]) == 0
    record = json.loads((tmp_path / "new" / "results.json").read_text())
    assert record["config"]["TRAINER"]["CoPrompt"]["PROMPT_DEPTH"] == 3 and record["results"]["total"] == 8


def test_a_contradiction_on_the_command_line_is_an_error(tiny, tmp_path, trained, capsys):
    assert tiny.run(tmp_path / "x", "CoPrompt", evaluation(trained), {**DEEP, "TRAINER.CoPrompt.N_CTX": 2}) == 2
    error = capsys.readouterr().err
    assert "TRAINER.CoPrompt.N_CTX is 2" in error and "trained with 3" in error


def test_what_shapes_do_not_tell_is_recorded(tiny, tmp_path):
    """The place of the class name leaves no trace in the context's shape, only in the record."""
    shape = {"TRAINER.COOP.N_CTX": 4, "TRAINER.COOP.CLASS_TOKEN_POSITION": "middle"}
    assert tiny.run(tmp_path / "run", "CoOp", pairs={**shape, "OPTIM.MAX_EPOCH": 1}) == 0
    args = tiny.arguments(tmp_path / "test", "CoOp", evaluation(tmp_path / "run"), {})
    node = train.setup_cfg(train.build_parser().parse_args(args)).TRAINER.COOP
    assert (node.N_CTX, node.CLASS_TOKEN_POSITION) == (4, "middle")


@pytest.mark.parametrize(
    ("method", "key", "value"), [("MMA", "MMADAPTER.ADAPTER_SCALE", 0.02), ("TextRefiner", "TF.ALPHA", 0.5)]
)
def test_a_factor_of_the_answer_is_recorded(tiny, tmp_path, method, key, value):
    """It has no shape, and with another one the same weights would answer otherwise, without a word."""
    assert tiny.run(tmp_path / "run", method, pairs={f"TRAINER.{key}": value, "OPTIM.MAX_EPOCH": 1}) == 0
    args = tiny.arguments(tmp_path / "test", method, evaluation(tmp_path / "run"), {})
    node, name = key.split(".")
    assert train.setup_cfg(train.build_parser().parse_args(args)).TRAINER[node][name] == value
