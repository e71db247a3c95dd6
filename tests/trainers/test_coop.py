"""CoOp: its prompts, its parameters, and what evaluation computes only once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

N = "TRAINER.COOP."


@pytest.mark.parametrize(
    ("pairs", "shape"),
    [
        ({}, (16, 64)),
        ({N + "N_CTX": 4}, (4, 64)),
        ({N + "CTX_INIT": "a photo of a"}, (4, 64)),
        ({N + "N_CTX": 4, N + "CSC": True}, (3, 4, 64)),
        ({N + "CTX_INIT": "a photo of a", N + "CSC": True}, (3, 4, 64)),
    ],
)
def test_context_shapes(tiny, tmp_path, pairs, shape):
    trainer = tiny.trainer(tmp_path, "CoOp", pairs)
    assert [name for name, _ in trainer.model.named_parameters()] == ["ctx"]
    assert trainer.model.ctx.shape == shape
    assert set(trainer.model.state_dict()) == {"ctx"}


@pytest.mark.parametrize("position", ["end", "middle", "front"])
def test_loss_is_cross_entropy_over_the_prompted_text(tiny, tmp_path, position):
    """Against the stock text tower on all 77 tokens, with the context put into its embedding by hand."""
    from clipkit import tokenize

    pairs = {N + "N_CTX": 4, N + "CLASS_TOKEN_POSITION": position}
    trainer = tiny.trainer(tmp_path, "CoOp", pairs)
    clip, ctx = trainer.clip, trainer.model.ctx
    image, label = torch.randn(4, 3, 16, 16), torch.tensor([0, 1, 2, 0])
    words = {"end": "X X X X {}.", "middle": "X X {} X X.", "front": "{} X X X X."}[position]
    tokens = tokenize([words.format(name) for name in trainer.classnames])
    marks = tokens == tokenize(["X"])[0, 1]
    x = clip.token_embedding(tokens).detach().clone()
    x[marks] = ctx.repeat(len(tokens), 1)
    x = clip.transformer((x + clip.positional_embedding).permute(1, 0, 2)).permute(1, 0, 2)
    text = clip.ln_final(x)[torch.arange(len(tokens)), tokens.argmax(-1)] @ clip.text_projection
    features = F.normalize(clip.encode_image(image), dim=-1)
    expected = F.cross_entropy(clip.logit_scale.exp() * features @ F.normalize(text, dim=-1).T, label)
    _, terms = trainer.loss(image, label)
    torch.testing.assert_close(terms["ce"], expected, atol=1e-5, rtol=1e-5)
    mine = torch.autograd.grad(terms["ce"], ctx)[0]
    theirs = torch.autograd.grad(expected, ctx)[0]
    torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-4)


def test_initial_context_depends_on_the_seed_alone(tiny, tmp_path):
    torch.manual_seed(99)
    first = tiny.trainer(tmp_path, "CoOp").model.ctx
    torch.rand(1000)
    again = tiny.trainer(tmp_path, "CoOp").model.ctx
    other = tiny.trainer(tmp_path, "CoOp", {"SEED": 2}).model.ctx
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert 0.015 < first.std() < 0.025


def test_text_is_encoded_once_a_test(tiny, tmp_path, monkeypatch):
    trainer = tiny.trainer(tmp_path, "CoOp", {"DATALOADER.TEST.BATCH_SIZE": 2})
    calls = []
    encode = trainer.encode_text
    monkeypatch.setattr(trainer, "encode_text", lambda: calls.append(1) or encode())
    assert len(trainer.test_loader) == 6
    trainer.test()
    assert len(calls) == 1
    with torch.no_grad():
        trainer.model.ctx.add_(1.0)
    trainer.test()
    assert len(calls) == 2


def test_images_are_encoded_once_for_all_frozen_towers(tiny, tmp_path, monkeypatch):
    pairs = {"DATASET.SUBSAMPLE_CLASSES": "new", "DATALOADER.TEST.BATCH_SIZE": 3}
    first = tiny.trainer(tmp_path, "CoOp", pairs)
    first.test()
    other = tiny.trainer(tmp_path, "ZeroshotCLIP", pairs)

    def never(image):
        raise AssertionError("an image was encoded again")

    monkeypatch.setattr(other, "encode_image", never)
    banked = other.test()
    direct = tiny.trainer(tmp_path, "ZeroshotCLIP", {**pairs, "TEST.FEATURE_BANK": False})
    assert direct.test() == banked


def test_bank_notices_a_changed_image(tiny, tmp_path):
    """By what is in it: size and time may be those of before."""
    from trainers.shared.feature_loader import bank_key

    trainer = tiny.trainer(tmp_path, "CoOp")
    arguments = (trainer.test_loader, "f" * 64, "fp32", torch.device("cpu"))
    key = bank_key(*arguments)
    file = Path(trainer.test_loader.dataset.data_source[0].impath)
    content, stamp = file.read_bytes(), file.stat()
    times = (stamp.st_atime_ns, stamp.st_mtime_ns)
    try:
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        os.utime(file, ns=times)
        assert bank_key(*arguments) != key
    finally:
        file.write_bytes(content)
        os.utime(file, ns=times)
    assert bank_key(*arguments) == key


def test_zero_shot_ensemble_averages_normalised_features(tiny, tmp_path):
    from clipkit import tokenize
    from datasets.templates import SELECTED

    trainer = tiny.trainer(tmp_path, "ZeroshotCLIP", {"TRAINER.ZSCLIP.TEMPLATES": "select"})
    total = 0
    for template in SELECTED:
        total = total + F.normalize(
            trainer.clip.encode_text(tokenize([template.format(n) for n in trainer.classnames])), dim=-1
        )
    torch.testing.assert_close(trainer.text_features(), F.normalize(total, dim=-1), atol=1e-5, rtol=1e-4)
