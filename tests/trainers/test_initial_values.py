"""Where each learner starts: the words, the zeros, the clones and the spreads that the published code starts from."""

from __future__ import annotations

import json
import math

import pytest
import torch
from helpers import make_tiny

from clipkit import tokenize
from datasets import templates
from trainers.parts.aggregation import gaussian_weights

T = "TRAINER."
SHALLOW = {
    T + "MAPLE.PROMPT_DEPTH": 3,
    T + "CoPrompt.PROMPT_DEPTH": 3,
    T + "IVLP.PROMPT_DEPTH_VISION": 3,
    T + "IVLP.PROMPT_DEPTH_TEXT": 3,
    T + "PROMPTSRC.PROMPT_DEPTH_VISION": 3,
    T + "PROMPTSRC.PROMPT_DEPTH_TEXT": 3,
    T + "MMRL.REP_LAYERS": [1, 2, 3],
    T + "MMRL.REP_DIM": 24,
    T + "TCP.LAYERS": [2],
}


@pytest.fixture
def started(tiny, tmp_path):
    """The state dict of a new learner, and the embeddings of words."""

    def start(name: str, pairs: dict | None = None):
        trainer = tiny.trainer(tmp_path, name, SHALLOW | (pairs or {}))

        def words(text: str) -> torch.Tensor:
            return trainer.clip.token_embedding(tokenize([text]))[0, 1 : 1 + int(tokenize([text]).argmax()) - 1]

        return trainer.model.state_dict(), words

    return start


@pytest.mark.parametrize(
    ("name", "key", "pairs"),
    [
        ("CoCoOp", "ctx", {T + "COCOOP.CTX_INIT": "a photo of a"}),
        ("KgCoOp", "ctx", {T + "COOP.CTX_INIT": "a photo of a"}),
        ("IVLP", "prompt_learner.ctx", {T + "IVLP.N_CTX_TEXT": 4, T + "IVLP.CTX_INIT": "a photo of a"}),
        ("IVLP", "prompt_learner.ctx", {T + "IVLP.N_CTX_TEXT": 2, T + "IVLP.CTX_INIT": "a photo of a"}),
        ("MaPLe", "prompt_learner.ctx", {}),
        ("PromptSRC", "prompt_learner.ctx", {T + "PROMPTSRC.CTX_INIT": "a photo of a"}),
        ("CoPrompt", "prompt_learner.ctx", {T + "CoPrompt.CTX_INIT": "a photo of a"}),
    ],
)
def test_the_context_starts_at_the_first_words(started, name, key, pairs):
    """Where there are fewer context tokens than words (2 for "a photo of a"), at the first of them."""
    state, words = started(name, pairs)
    assert torch.equal(state[key], words("a photo of a")[: len(state[key])])


@pytest.mark.parametrize(
    ("name", "pairs"),
    [("CoOp", {}), ("CoCoOp", {}), ("ProGrad", {}), ("TCP", {T + "COOP.N_CTX": 16})],
)
def test_without_words_the_context_starts_at_random(started, name, pairs):
    ctx = started(name, pairs)[0]["ctx"]
    assert ctx.std() == pytest.approx(0.02, rel=0.15) and abs(ctx.mean()) < 0.003


def test_prograd_starts_at_zeros_and_the_templates_words(started, monkeypatch):
    """As many tokens as the prefix has words: the comma takes one, so that the last word stays outside."""
    monkeypatch.setitem(templates.PROGRAD, "Tiny", "a type of pet, a photo of a {}.")
    state, words = started("ProGrad", {T + "PROGRAD.CTX_INIT": "a photo of a"})
    prefix = words("a type of pet, a photo of a")
    assert len(prefix) == 9 and state["ctx"].shape[0] == 16
    assert not state["ctx"][:8].any() and torch.equal(state["ctx"][8:], prefix[:8])


@pytest.mark.parametrize(
    ("name", "prefix"),
    [
        ("MaPLe", "prompt_learner.compound_prompt_projections."),
        ("CoPrompt", "prompt_learner.compound_prompt_projections."),
        ("MMRL", "representation_learner.compound_rep_tokens_r2vproj."),
        ("MMRL", "representation_learner.compound_rep_tokens_r2tproj."),
    ],
)
def test_projections_are_clones_of_one_layer(started, name, prefix):
    state, _ = started(name)
    weights = [value for key, value in state.items() if key.startswith(prefix) and key.endswith("weight")]
    assert len(weights) == (3 if name == "MMRL" else 2)
    assert all(torch.equal(weights[0], other) for other in weights[1:]) and weights[0].std() > 0


@pytest.mark.parametrize("name", ["VPT", "IVLP", "MaPLe", "PromptSRC", "CoPrompt", "MMRL"])
def test_deep_prompts_start_at_random(started, name):
    state, _ = started(name, {T + "VPT.PROMPT_DEPTH_VISION": 3})
    drawn = {k: v for k, v in state.items() if k.endswith(("VPT", "VPT_shallow", "rep_tokens")) or "prompts_text" in k}
    assert len(drawn) == {"VPT": 3, "IVLP": 5, "MaPLe": 2, "PromptSRC": 5, "CoPrompt": 2, "MMRL": 1}[name]
    values = torch.cat([v.flatten() for v in drawn.values()])
    assert values.std() == pytest.approx(0.02, rel=0.2)
    assert len({tuple(v.flatten()[:3].tolist()) for v in drawn.values()}) == len(drawn)  # each drawn on its own


def test_mmrls_projection_is_not_clips(tiny, tmp_path):
    trainer = tiny.trainer(tmp_path, "MMRL", SHALLOW)
    found, own = trainer.model.state_dict()["image_encoder.proj_rep"], trainer.clip.visual.proj
    assert found.shape == own.shape and not torch.allclose(found, own, atol=1e-3)
    assert found.std() == pytest.approx(own.shape[0] ** -0.5, rel=0.1)


def test_words_that_cannot_start_the_context_are_said_to(started, caplog):
    """Words are counted in tokens: "photomicrograph" is several."""
    state, words = started("MaPLe", {T + "MAPLE.N_CTX": 5, T + "MAPLE.CTX_INIT": "a photomicrograph of a"})
    assert (
        torch.equal(state["prompt_learner.ctx"], words("a photomicrograph of a")[:5]) and "at random" not in caplog.text
    )
    state, words = started("MaPLe", {T + "MAPLE.N_CTX": 5})
    assert not torch.equal(state["prompt_learner.ctx"][:4], words("a photo of a"))
    assert "CTX_INIT 'a photo of a' has 4 tokens and cannot start 5 context tokens" in caplog.text


def test_weights_of_epochs_far_from_the_mean():
    """Of a run much shorter than the published one the last epoch counts; nothing becomes NaN."""
    assert gaussian_weights(2, 45.0, 0.5).tolist() == pytest.approx([0.0, 1.0])
    by_hand = torch.tensor([math.exp(-((e - 3) ** 2) / 8) for e in range(1, 6)])
    torch.testing.assert_close(gaussian_weights(5, 3.0, 2.0).float(), by_hand / by_hand.sum())


def test_a_test_of_one_class_says_that_it_says_nothing(tiny, tmp_path, caplog):
    name = tmp_path / "one"
    file = make_tiny(name) / "split_zhou_Tiny.json"
    one = {part: [item for item in items if item[1] == 0] for part, items in json.loads(file.read_text()).items()}
    file.write_text(json.dumps(one))
    tiny.trainer(tmp_path, "CoOp", {"DATASET.ROOT": name, "DATASET.SUBSAMPLE_CLASSES": "all"})
    assert "there is one class (striped circle), so every prediction is right" in caplog.text
