"""The plain implementations themselves: without prompts they are CLIP, and each degenerates as its paper says."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from clipkit import load_clip, tokenize
from tests.plain import METHODS, gaussian_average
from tests.plain.towers import insert_after_first, replace_first, text_tower, vision_tokens, vision_tower

NAMES = ["striped circle", "dotted star", "fish"]


@pytest.fixture(scope="module")
def clip_model(tiny):
    return load_clip("", str(tiny.backbone))


@pytest.fixture
def batch():
    torch.manual_seed(5)
    return torch.randn(3, 3, 16, 16), torch.tensor([0, 2, 1])


def make(name: str, clip_model, settings: dict, state: dict, texts=None):
    return METHODS[name](clip_model, settings, "Tiny", NAMES, state, texts)


def test_towers_without_prompts_are_clips(clip_model, batch):
    tokens = tokenize([f"a photo of a {name}." for name in NAMES])
    text = text_tower(clip_model, clip_model.token_embedding(tokens), tokens.argmax(-1))
    torch.testing.assert_close(text, clip_model.encode_text(tokens), atol=1e-6, rtol=1e-5)
    image = vision_tower(clip_model, batch[0])
    torch.testing.assert_close(image, clip_model.encode_image(batch[0]), atol=1e-6, rtol=1e-5)


def test_replacing_tokens_by_themselves_changes_nothing(clip_model):
    """Shallow context = the words' embeddings, and replaced tokens = what was there: the stock tower again."""
    tokens = tokenize([f"a photo of a {NAMES[0]}."])
    embeddings, seen = clip_model.token_embedding(tokens), {}

    def note(number, x):
        seen[number] = x[1:3, 0]
        return x

    expected = text_tower(clip_model, embeddings, tokens.argmax(-1), note)
    found = text_tower(clip_model, embeddings, tokens.argmax(-1), replace_first({2: seen[2], 3: seen[3]}))
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


def test_inserted_tokens_lengthen_the_sequence_once(clip_model, batch):
    prompts = {2: torch.zeros(4, 64), 3: torch.ones(4, 64)}
    plain, longer = (
        vision_tokens(clip_model, batch[0]),
        vision_tokens(clip_model, batch[0], None, insert_after_first(prompts)),
    )
    assert longer.shape[1] == plain.shape[1] + 4


def test_coop_with_the_words_own_embeddings_is_zero_shot(clip_model, batch):
    ctx = clip_model.token_embedding(tokenize(["a photo of a"]))[0, 1:5]
    coop = make("CoOp", clip_model, {"CTX_INIT": ""}, {"ctx": ctx})
    text = F.normalize(clip_model.encode_text(tokenize([f"a photo of a {name}." for name in NAMES])), dim=-1)
    expected = clip_model.logit_scale.exp() * F.normalize(clip_model.encode_image(batch[0]), dim=-1) @ text.T
    torch.testing.assert_close(coop.logits(batch[0]), expected, atol=1e-4, rtol=1e-5)


def test_cocoop_whose_net_says_nothing_is_coop(clip_model, batch):
    ctx = 0.02 * torch.randn(4, 64)
    net = {"linear1.weight": (8, 32), "linear1.bias": (8,), "linear2.weight": (64, 8), "linear2.bias": (64,)}
    state = {"ctx": ctx} | {f"meta_net.{key}": torch.zeros(shape) for key, shape in net.items()}
    cocoop = make("CoCoOp", clip_model, {"CTX_INIT": ""}, state)
    coop = make("CoOp", clip_model, {"CTX_INIT": ""}, {"ctx": ctx})
    torch.testing.assert_close(cocoop.logits(batch[0]), coop.logits(batch[0]), atol=1e-5, rtol=1e-5)


def test_prograd_projection_by_hand(clip_model):
    prograd = make("ProGrad", clip_model, {"CTX_INIT": "", "T": 1.0, "LAMBDA": 1.0}, {"ctx": torch.zeros(4, 64)})
    g_g = torch.tensor([0.0, 2.0])
    torch.testing.assert_close(prograd.project(torch.tensor([3.0, -4.0]), g_g), torch.tensor([3.0, 0.0]))
    torch.testing.assert_close(prograd.project(torch.tensor([3.0, 4.0]), g_g), torch.tensor([3.0, 4.0]))


def test_gaussian_average_by_hand():
    states = [{"w": torch.tensor([value])} for value in (0.0, 1.0)]
    mean = gaussian_average(states, mean=2.0, std=1.0)["w"]
    torch.testing.assert_close(mean, torch.tensor([1 / (1 + torch.tensor(-0.5).exp().item())]))


def test_what_is_kept_is_what_is_computed_anew(clip_model, batch):
    state = {"ctx": 0.02 * torch.randn(4, 64)}
    anew, kept = (make("KgCoOp", clip_model, {"CTX_INIT": "", "W": 8.0}, state) for _ in range(2))
    kept.keep_fixed = True
    for _ in range(2):
        ours, theirs = kept.loss_terms(*batch), anew.loss_terms(*batch)
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert set(kept._fixed) == {"kg", tuple(kept.prompts())} and not anew._fixed
