"""Every trainer against the plain implementation of its paper (tests/plain): losses, gradients, test logits.

Both sides hold the same tensors, moved a little from where they start so that nothing sits at a special point. Each
style of template has its own wording for the tiny dataset, so that taking the wrong one shows.
"""

from __future__ import annotations

import json

import pytest
import torch
from helpers import NAMES

from datasets import templates
from tests.plain import gaussian_average, plain_of, same_draw

T = "TRAINER."
VISION3 = {"N_CTX_VISION": 3, "PROMPT_DEPTH_VISION": 3}
IVLP = {"N_CTX_VISION": 2, "PROMPT_DEPTH_VISION": 3, "N_CTX_TEXT": 2, "PROMPT_DEPTH_TEXT": 2}
MMRL = {"REP_LAYERS": [2, 3], "REP_DIM": 24, "N_REP_TOKENS": 3, "REG_WEIGHT": 0.5}
TCP = {T + "COOP.N_CTX": 4, T + "TCP.LAYERS": [2]}
VISPROMPT = {"N_CTX": 4, "VISUAL_HIDDEN_DIM": 32, "ATTENTION_HEADS": 4, "PROMPT_POOL_SIZE": 8, "REG_WEIGHT": 0.5}
COPROMPT = {T + "CoPrompt.PROMPT_DEPTH": 3, T + "W": 2.0}


def keys(node: str, values: dict) -> dict:
    return {f"{T}{node}.{key}": value for key, value in values.items()}


PLAYFUL = {"ATT_NUM": 2, "N_ATT1": 2, "N_ATT2": 2, "N_ATT3": 2, "ATT1_TEXT": "playfulness", "ATT2_TEXT": "energy"}
CASES = {
    "CoOp": keys("COOP", {"N_CTX": 4}),
    "CoOp initial words": keys("COOP", {"CTX_INIT": "a photo of a"}),
    "CoOp CSC": keys("COOP", {"N_CTX": 4, "CSC": True}),
    "CoCoOp": keys("COCOOP", {"CTX_INIT": "a photo of a"}),
    "CoCoOp 3 tokens": keys("COCOOP", {"N_CTX": 3}),
    "KgCoOp": keys("COOP", {"CTX_INIT": "a photo of a", "W": 8.0}),
    "ProGrad": keys("PROGRAD", {"N_CTX": 4}),
    "ProGrad temperature": keys("PROGRAD", {"N_CTX": 16, "CTX_INIT": "a photo of a", "T": 2.0, "LAMBDA": 0.5}),
    "DPSEP": keys("DPSEP", {"N_CTX": 4}),
    "DPSEP initial words": keys("DPSEP", {"CTX_INIT": "a photo of a", "MU_POS": 2.0, "BETA": 0.3, "SEP_LAMBDA": 0.2}),
    "VPT": keys("VPT", VISION3),
    "VPT shallow": keys("VPT", VISION3 | {"PROMPT_DEPTH_VISION": 1}),
    "IVLP": keys("IVLP", IVLP),
    "IVLP language only": keys("IVLP", IVLP | {"N_CTX_VISION": 0, "PROMPT_DEPTH_VISION": 0, "N_CTX_TEXT": 4}),
    "MaPLe": keys("MAPLE", {"PROMPT_DEPTH": 3}),
    "MaPLe shallow": keys("MAPLE", {"PROMPT_DEPTH": 1}),
    "PromptSRC": keys("PROMPTSRC", IVLP | {"N_CTX_TEXT": 4}),
    "TCP": TCP,
    "TCP half": TCP | {T + "TCP.WEIGHT": 0.5, T + "TCP.LAYERS": [1, 3]},
    "CoPrompt": COPROMPT,
    "CoPrompt 4 tokens": COPROMPT | {T + "CoPrompt.N_CTX": 4, T + "DISTILL": "mse"},
    "MMRL": keys("MMRL", MMRL),
    "MMRL new classes": keys("MMRL", MMRL) | {"DATASET.SUBSAMPLE_CLASSES": "new"},
    "MMRL target": keys("MMRL", MMRL) | {"TASK": "CD", "DATASET.SUBSAMPLE_CLASSES": "all"},
    "MMRL few shot": keys("MMRL", MMRL) | {"TASK": "FS", "DATASET.SUBSAMPLE_CLASSES": "all"},
    "ANPrompt": {},
    "DeFT": keys("DEFT", {"N_CTX_VISION": 3, "PROMPT_DEPTH_VISION": 3}),
    "DeFT after warm-up": keys("DEFT", {"N_CTX_VISION": 3, "PROMPT_DEPTH_VISION": 2, "WARMUP": 0, "N_CTX": 5}),
    "DeFT on real noise": keys("DEFT", {"N_CTX_VISION": 3, "PROMPT_DEPTH_VISION": 3, "VARIANT": "real"}),
    "TipAdapterF": keys("TIPADAPTER", {"ALPHA": 2.0, "BETA": 3.0}),
    "LPpp": {},
    "TwoSFS": keys("TWOSFS", {"ALPHA": 0.6}),
    "TwoSFS second stage": keys("TWOSFS", {"ALPHA": 0.0}),
    "CLIPLoRA": keys("CLIPLORA", {"DROPOUT": 0.0}),
    "VisPrompt": keys("VISPROMPT", VISPROMPT | {"PURIFY": "none"}),
    "VisPrompt chunks, GCE, gate a token": keys(
        "VISPROMPT", VISPROMPT | {"PURIFY": "none", "LOSS_ALL": "gce", "GATE": "token", "TEXT_CHUNK": 1}
    ),
    "VisPrompt of one feature, SCE, hard gate": keys(
        "VISPROMPT", VISPROMPT | {"PURIFY": "none", "LOSS_ALL": "sce", "VIS_SOURCE": "global", "GATE": "thresh"}
    ),
    "VisPrompt transport in the batch, no gate, one scale": keys(
        "VISPROMPT",
        VISPROMPT
        | {"PURIFY": "ot_batch", "OT_COST": "logp", "REG_E": 0.1, "GATE": "none", "USE_MULTI_SCALE": False}
        | {"TEXT_CHUNK": 6},
    ),
    "VisPrompt transport in the batch, MAE, no FiLM": keys(
        "VISPROMPT", VISPROMPT | {"PURIFY": "ot_batch", "REG_E": 0.1, "LOSS_NOISY": "mae", "FILM": False}
    ),
    "TextRefiner": {T + "COOP.CTX_INIT": "a photo of a", T + "TF.MEMORY_SIZE": 4},
    "TextRefiner other weights": keys("TF", {"ALPHA": 0.7, "BALANCE": 2.0, "DISTILL": 3.0}),
    "TAC": {},
    "TAC other weights": keys(
        "TAC", {"N_CTX_VISION": 1, "PROMPT_DEPTH_TEXT": 2, "FROZEN_DROPOUT": True, "DROPOUT": 0.0}
    ),
    "MMRLpp": keys("MMRLpp", MMRL | {"BETA": 0.7}),
    "MMRLpp new classes": keys("MMRLpp", MMRL) | {"DATASET.SUBSAMPLE_CLASSES": "new"},
    "MMA": {},
    "MMA all blocks": keys("MMADAPTER", {"ADAPTER_START": 1, "ADAPTER_SCALE": 0.1, "TEXT_CTX_INIT": "one"}),
    "ProMetaR": keys("PROMETAR", IVLP | {"ADAPT_LR": 0.05, "VNET_LR": 0.0}) | {"OPTIM.WARMUP_EPOCH": -1},
    "CoOpDePT": {T + "COOP.N_CTX": 4},
    "CoOpDePT similarity": {T + "COOP.N_CTX": 4, T + "LINEAR_PROBE.TYPE": "similarity", T + "LINEAR_PROBE.WEIGHT": 0.4},
    "CoOpDePT without film": {T + "COOP.N_CTX": 4, T + "FILM.LINEAR_PROBE": False},
    "KgCoOpDePT": {T + "COOP.CTX_INIT": "a photo of a", T + "COOP.W": 2.0},
    "MaPLeDePT": {T + "MAPLE.PROMPT_DEPTH": 3},
    "PromptSRCDePT": keys("PROMPTSRC", IVLP),
    "CoOpATPrompt": {T + "COOP.N_CTX": 2} | keys("ATPROMPT", {"N_ATT1": 2, "N_ATT2": 3, "ATT_NUM": 2}),
    "CoOpATPrompt long words": {T + "COOP.N_CTX": 2} | keys("ATPROMPT", PLAYFUL),
    "CoOpATPrompt one token a word": {T + "COOP.N_CTX": 2} | keys("ATPROMPT", PLAYFUL | {"ONE_TOKEN": True}),
    "CoCoOpATPrompt": {T + "COCOOP.N_CTX": 3} | keys("ATPROMPT", {"ATT_NUM": 1}),
    "MaPLeATPrompt": keys("MAPLE", {"PROMPT_DEPTH": 3})
    | keys("ATPROMPT", PLAYFUL | {"ATT_NUM": 3, "ATT3_TEXT": "size"}),
    "VisPrompt without guidance": keys("VISPROMPT", {"N_CTX": 4, "USE_VISUAL_GUIDANCE": False, "PURIFY": "none"}),
}
WORDINGS = {
    "coop": "a photo of a {}, a kind of thing.",
    "kg": "a sketch of the {}.",
    "tcp": "one more photo of a {}, a type of food.",
    "prograd": "a type of pet, a photo of a {}.",
    "tcp_learnable": "X X X X {} texture.",
}


class Pair:
    """A trainer and its plain counterpart on one batch."""

    def __init__(self, trainer, name: str) -> None:
        self.trainer, self.plain = trainer, plain_of(name, trainer)
        torch.manual_seed(3)
        self.image = torch.randn(4, 3, 16, 16)
        self.views = [self.image, torch.randn(4, 3, 16, 16)] if name in ("CoPrompt", "TAC") else self.image
        self.label = torch.arange(4) % len(trainer.classnames)
        self.batch = {"img": self.views, "label": self.label}
        if name == "TAC":
            self.batch["img0"] = torch.randn(4, 3, 16, 16)
            self.views = [*self.views, self.batch["img0"]]
        self.state = {k: v.clone() for k, v in trainer.model.state_dict().items()}

    def reset(self) -> Pair:
        """As if no step had been taken."""
        self.trainer.model.load_state_dict(self.state)
        self.trainer.set_model_mode("train")
        self.trainer.epoch = self.trainer.batch_idx = 0
        self.trainer.num_batches = 10
        return self


def moved(trainer) -> None:
    """Moves every learnable tensor by seeded noise."""
    noise = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for parameter in trainer.model.parameters():
            parameter += 0.02 * torch.randn(parameter.shape, generator=noise)


@pytest.fixture(scope="module")
def wordings():
    with pytest.MonkeyPatch.context() as patch:
        for style, wording in WORDINGS.items():
            table = templates.TCP_LEARNABLE if style == "tcp_learnable" else templates.STYLES[style]
            patch.setitem(table, "Tiny", wording)
        yield


@pytest.fixture(scope="module", params=CASES)
def built(request, tiny, wordings, tmp_path_factory) -> Pair:
    name = request.param.split()[0]
    trainer = tiny.trainer(tmp_path_factory.mktemp("run"), name, CASES[request.param])
    moved(trainer)
    return Pair(trainer, name)


@pytest.fixture
def pair(built) -> Pair:
    return built.reset()


def test_loss_terms(pair):
    _, ours = pair.trainer.loss(*pair.trainer.parse_batch_train(pair.batch))
    same_draw(pair.plain, pair.trainer)
    theirs = pair.plain.loss_terms(pair.views, pair.label)
    assert set(ours) == set(theirs)
    for name, value in theirs.items():
        assert value != 0, name
        torch.testing.assert_close(ours[name], value, atol=1e-5, rtol=1e-5, msg=lambda m, name=name: f"{name}: {m}")


def test_gradients_of_a_step(pair):
    """Whatever `forward_backward` puts into `.grad` (ProGrad: the projected gradient), tensor by tensor."""
    pair.trainer.forward_backward(pair.batch)
    same_draw(pair.plain, pair.trainer)
    theirs = pair.plain.gradients(pair.views, pair.label)
    ours = {name: p.grad for name, p in pair.trainer.model.named_parameters() if p.requires_grad}
    assert set(ours) == set(theirs)
    for name, value in theirs.items():
        if name in pair.plain.without_gradient:
            assert ours[name] is None or ours[name].abs().max() < 1e-6, name
            continue
        size = value.abs().max().item()
        assert size > 0, name
        torch.testing.assert_close(ours[name], value, atol=1e-4 * size, rtol=1e-4, msg=lambda m, n=name: f"{n}: {m}")
    assert all(p.grad is None and not p.requires_grad for p in pair.trainer.clip.parameters())


@torch.no_grad()
def test_logits_at_test(pair):
    pair.trainer.set_model_mode("eval")
    ours, theirs = pair.trainer.model_inference(pair.image), pair.plain.logits(pair.image)
    assert ours.shape == (4, len(pair.trainer.classnames)) and theirs.std() > 1e-3
    torch.testing.assert_close(ours.float(), theirs, atol=5e-5, rtol=1e-5)


# ---------------------------------------------------------------------- ProGrad


@pytest.mark.parametrize("weight", [1.0, 0.5])
def test_prograd_projects_conflicting_gradients_alone(tiny, tmp_path, weight):
    trainer = tiny.trainer(tmp_path, "ProGrad", keys("PROGRAD", {"N_CTX": 4, "LAMBDA": weight}))
    moved(trainer)
    pair = Pair(trainer, "ProGrad")
    met = set()
    for label in range(len(trainer.classnames)):
        pair.label = torch.full((4,), label)
        terms = pair.plain.loss_terms(pair.image, pair.label)
        ctx = pair.plain.p["ctx"]
        g_d, g_g = (torch.autograd.grad(terms[name], ctx, retain_graph=True)[0] for name in ("ce", "kl"))
        pair.reset().trainer.forward_backward({"img": pair.image, "label": pair.label})
        g = pair.trainer.model.ctx.grad
        before, after, tiniest = (g_d * g_g).sum(), (g * g_g).sum(), 1e-4 * g_d.norm() * g_g.norm()
        met.add(bool(before < 0))
        if before >= 0:
            torch.testing.assert_close(g, g_d, atol=1e-4 * g_d.abs().max().item(), rtol=1e-4)
        else:
            assert abs(after - (1 - weight) * before) < tiniest  # lambda 1: nothing is left against the teacher
            assert (g - g_d).norm() > 1e-3 * g_d.norm()
    assert met == {True, False}, "the labels gave no conflicting, or no agreeing, gradients"


# ---------------------------------------------------------------------- CoPrompt


def test_coprompt_compares_with_the_sentences_of_its_cache(tiny, tmp_path):
    """Over many steps every sentence is met, one index for all classes; a class with fewer starts again."""
    counts = dict(zip(NAMES, (3, 2, 3, 3, 3), strict=True))
    sentences = {name: [f"the {name} number {i}." for i in range(count)] for name, count in counts.items()}
    (tmp_path / "sentences.json").write_text(json.dumps(sentences))
    cache = {T + "CoPrompt.CACHE": tmp_path / "sentences.json"}
    pair = Pair(tiny.trainer(tmp_path / "run", "CoPrompt", COPROMPT | cache), "CoPrompt").reset()
    met = set()
    for step in range(12):
        pair.trainer.batch_idx = step
        _, ours = pair.trainer.loss(pair.views, pair.label)
        same_draw(pair.plain, pair.trainer)
        met.add(pair.plain.description)
        assert all(pair.plain.texts[name] == sentences[name] for name in pair.plain.names)
        theirs = pair.plain.loss_terms(pair.views, pair.label)
        torch.testing.assert_close(ours["text"], theirs["text"], atol=1e-5, rtol=1e-5)
    assert met == {0, 1, 2}


# ---------------------------------------------------------------------- PromptSRC

SRC = keys("PROMPTSRC", IVLP | {"GPA_MEAN": 2.5, "GPA_STD": 0.8})


def trained_promptsrc(tiny, tmp_path, pairs: dict):
    """A trainer after its whole run, and its state at the end of each epoch, before any aggregation is loaded."""
    trainer = tiny.trainer(tmp_path, "PromptSRC", SRC | pairs)
    states, after_epoch = [], trainer.after_epoch

    def note_first() -> None:
        states.append({k: v.clone() for k, v in trainer.model.state_dict().items()})
        after_epoch()

    trainer.after_epoch = note_first
    trainer.train()
    return trainer, states


def test_promptsrc_aggregates_its_epochs(tiny, tmp_path):
    trainer, states = trained_promptsrc(tiny, tmp_path, {})
    assert len(states) == 3
    expected = gaussian_average(states, mean=2.5, std=0.8)
    for key, value in trainer.model.state_dict().items():
        torch.testing.assert_close(value, expected[key], atol=1e-6, rtol=1e-5)
    assert any((value - states[-1][key]).abs().max() > 1e-4 for key, value in expected.items())
    saved = torch.load(tmp_path / "VLPromptLearner" / "model.pth.tar-3", weights_only=True)["state_dict"]
    assert all(torch.allclose(saved[key], value, atol=1e-6) for key, value in expected.items())


def test_promptsrc_weights_sum_to_one(tiny, tmp_path):
    """Epochs that are all alike aggregate to themselves."""
    trainer, states = trained_promptsrc(tiny, tmp_path, {"OPTIM.LR": 0.0, "OPTIM.WARMUP_EPOCH": 0})
    for key, value in trainer.model.state_dict().items():
        assert torch.equal(states[0][key], states[-1][key])
        torch.testing.assert_close(value, states[0][key], atol=1e-7, rtol=1e-6)
