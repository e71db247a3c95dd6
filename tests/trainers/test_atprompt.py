"""ATPrompt: the order of the prompt, per-dataset settings, and words that stay with the weights."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from clipkit import InputError
from dassl.engine import TRAINER_REGISTRY

N = "TRAINER.ATPROMPT."


def tokens(trainer) -> list[str]:
    """The prompt of the first class: learned tokens by name."""
    learner, found = trainer.context_learner, []
    for row in learner.prompts(learner.context(learner.ctx))[0].float():
        for name, p in learner.named_parameters():
            if name.startswith("ctx") and any(torch.equal(row, each) for each in p):
                found.append(name)
                break
        else:
            found.append("fixed")
    return found


@pytest.mark.parametrize("one_token", [False, True])
def test_the_order_of_a_prompt(tiny, tmp_path, one_token):
    pairs = {N + "ATT1_TEXT": "playfulness", N + "ATT2_TEXT": "energy", N + "ONE_TOKEN": one_token, N + "ATT_NUM": 2}
    pairs |= {f"{N}N_ATT{i}": 2 for i in (1, 2, 3)} | {"TRAINER.COOP.N_CTX": 2}
    found = tokens(tiny.trainer(tmp_path, "CoOpATPrompt", pairs))
    learned = [x for x in found if x.startswith("ctx")]
    assert learned == ["ctx_att1"] * 2 + ["ctx_att2"] * 2 + ["ctx"] * 2
    at = {name: found.index(name) for name in ("ctx_att1", "ctx_att2", "ctx")}
    # "playfulness" has two tokens; with one for each word the second half and "energy" are overwritten
    assert at == ({"ctx_att1": 1, "ctx_att2": 4, "ctx": 7} if one_token else {"ctx_att1": 1, "ctx_att2": 5, "ctx": 8})


@pytest.mark.parametrize(
    ("host", "dataset", "task", "n", "epochs", "words"),
    [
        ("CoOp", "DescribableTextures", "B2N", 4, 100, ["pattern", "color", "design"]),
        ("CoOp", "ImageNet", "B2N", 2, 10, ["color", "shape"]),
        ("CoOp", "ImageNet", "CD", 4, 10, ["color", "shape"]),
        ("CoCoOp", "UCF101", "B2N", 4, 10, ["precision"]),
        ("CoCoOp", "ImageNet", "CD", 4, 5, ["color", "shape"]),
        ("MaPLe", "FGVCAircraft", "B2N", 2, 5, ["design", "range"]),
        ("MaPLe", "EuroSAT", "FS", 4, 10, ["habitat"]),
        ("MaPLe", "ImageNet", "CD", 4, 2, ["color", "shape"]),
    ],
)
def test_settings_of_datasets(host, dataset, task, n, epochs, words):
    kind = TRAINER_REGISTRY.get(f"{host}ATPrompt")
    cfg = SimpleNamespace(DATASET=SimpleNamespace(NAME=dataset), TASK=task)
    found = kind.dataset_overrides(cfg)
    assert found[f"{kind.node}.N_CTX"] == n == found[N + "N_ATT1"] and found["OPTIM.MAX_EPOCH"] == epochs
    assert [found[f"{N}ATT{i}_TEXT"] for i in range(1, 4)][: found[N + "ATT_NUM"]] == words
    cfg.DATASET.NAME, cfg.TASK = "OxfordPets", "CD"
    assert kind.dataset_overrides(cfg) == {}


def test_the_words_of_the_training_travel(tiny, tmp_path):
    pairs = {
        "OPTIM.MAX_EPOCH": 1,
        N + "ATT_NUM": 1,
        N + "ATT1_TEXT": "luxury",
        N + "N_ATT1": 3,
        "TRAINER.COOP.N_CTX": 3,
    }
    assert tiny.run(tmp_path / "run", "CoOpATPrompt", (), pairs) == 0
    from trainers.shared.architecture import saved_architecture

    found = saved_architecture("CoOpATPrompt", str(tmp_path / "run"), 1)
    assert found[N + "ATT1_TEXT"] == "luxury" and found[N + "ATT_NUM"] == 1 and found["TRAINER.COOP.N_CTX"] == 3
    flags = ("--eval-only", "--model-dir", tmp_path / "run", "--load-epoch", 1)
    assert tiny.run(tmp_path / "new", "CoOpATPrompt", flags, pairs | {"DATASET.SUBSAMPLE_CLASSES": "new"}) == 0


def test_the_start(tiny, tmp_path):
    learner = tiny.trainer(tmp_path, "MaPLeATPrompt", {"TRAINER.MAPLE.N_CTX": 4}).model.prompt_learner
    assert 0.005 < learner.ctx_att1.std() < 0.015 and 0.015 < learner.ctx.std() < 0.025  # words start none of them
    assert {f"ctx_att{i}" for i in (1, 2, 3)} < dict(learner.named_parameters()).keys()


@pytest.mark.parametrize(
    ("pairs", "says"),
    [
        ({N + "ATT3_TEXT": "''"}, "ATT3_TEXT is empty"),
        ({"TRAINER.COOP.CSC": True}, "leave CSC and CLASS_TOKEN_POSITION"),
        ({"TRAINER.COOP.CLASS_TOKEN_POSITION": "middle"}, "leave CSC and CLASS_TOKEN_POSITION"),
    ],
)
def test_what_it_refuses(tiny, tmp_path, pairs, says):
    with pytest.raises(InputError, match=says):
        tiny.trainer(tmp_path, "CoOpATPrompt", pairs)


def test_without_words_it_is_the_host_from_a_random_context(tiny, tmp_path):
    trainer = tiny.trainer(tmp_path / "1", "CoOpATPrompt", {N + "USE_ATPROMPT": False, "TRAINER.COOP.N_CTX": 4})
    coop = tiny.trainer(tmp_path / "2", "CoOp", {"TRAINER.COOP.N_CTX": 4})
    coop.model.ctx.data.copy_(trainer.model.ctx)
    torch.testing.assert_close(trainer.encode_text(), coop.encode_text(), atol=1e-6, rtol=0)


def test_export_leaves_the_prompts_buffers_out(tiny, tmp_path):
    from clipkit.export import full_checkpoint

    assert tiny.run(tmp_path / "run", "CoOpATPrompt", (), {"OPTIM.MAX_EPOCH": 1}) == 0
    (file,) = (tmp_path / "run").glob("*/model.pth.tar-1")
    full = full_checkpoint(file, str(tiny.backbone), precision="fp32")
    assert set(full["state_dict"]) == {"ctx", "ctx_att1", "ctx_att2", "ctx_att3"}
