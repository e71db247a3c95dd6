"""What is left out or shared changes no number: each saving against the same computation without it."""

from __future__ import annotations

import pytest
import torch
from helpers import METHODS
from torch.nn import functional as F

from clipkit import ImageEncoder, TextEncoder, normalize

CLASSES = {"DATASET.SUBSAMPLE_CLASSES": "all"}


def batch(size: int = 4):
    generator = torch.Generator().manual_seed(3)
    return torch.randn(size, 3, 16, 16, generator=generator), torch.arange(size) % 3


def counting(monkeypatch, target, name: str) -> list:
    """Calls of `target.name` from here on."""
    calls, real = [], getattr(target, name)

    def counted(*args, **kwargs):
        calls.append(args)
        return real(*args, **kwargs)

    monkeypatch.setattr(target, name, counted)
    return calls


def test_cocoop_images_and_classes_in_one_batch_or_one_by_one(tiny, tmp_path, monkeypatch):
    trainer = tiny.trainer(tmp_path, "CoCoOp", CLASSES)
    features = trainer.encode_image(batch(7)[0])
    per_image = len(trainer.classnames) * (trainer.model.prompts.length - trainer.model.prompts.shared)
    together = []
    for images in (7, 3, 1):
        monkeypatch.setattr(trainer, "method_cfg", lambda n=images: type("cfg", (), {"TOKEN_BUDGET": n * per_image}))
        assert trainer.images_at_a_time() == images
        calls = counting(monkeypatch, TextEncoder, "encode")
        together.append(trainer.conditional_logits(features))
        assert len(calls) == -(-7 // images)
        monkeypatch.undo()
    for logits in together[1:]:
        torch.testing.assert_close(logits, together[0], atol=1e-5, rtol=0)
    # and each image by itself through the dense prompts
    for f, logits in zip(features, together[0], strict=True):
        ctx = trainer.model.ctx + trainer.model.meta_net(f)
        text = trainer.text_encoder(trainer.model.prompts(ctx), trainer.model.prompts.eot)
        torch.testing.assert_close(logits, trainer.logit_scale * normalize(text) @ f, atol=1e-4, rtol=1e-5)


def test_prograd_encodes_each_image_once_for_student_and_teacher(tiny, tmp_path, monkeypatch):
    trainer = tiny.trainer(tmp_path, "ProGrad")
    image, label = batch()
    calls = counting(monkeypatch, ImageEncoder, "__call__")
    _, terms = trainer.loss(image, label)
    assert len(calls) == 1
    f = F.normalize(trainer.clip.encode_image(image), dim=-1)  # the teacher's own pass
    teacher = (trainer.logit_scale * f @ trainer.w.T).softmax(1)
    student = trainer.logits(f, trainer.encode_text()).log_softmax(1)
    torch.testing.assert_close(terms["kl"], -(teacher * student).sum(1).mean(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("method", ["MMRL", "ANPrompt"])
def test_frozen_lower_blocks_run_once(tiny, tmp_path, monkeypatch, method):
    """The text's once for a set of class names, an image's once for both branches; against the whole towers."""
    trainer = tiny.trainer(tmp_path, method)
    image, label = batch()
    trainer.epoch = trainer.batch_idx = 0
    text_calls, image_calls = (counting(monkeypatch, kind, "lower") for kind in (TextEncoder, ImageEncoder))
    for _ in range(2):
        trainer.loss(image, label)
    assert (len(text_calls), len(image_calls)) == (0, 2)
    texts = [f"a photo of a {name}." for name in trainer.classnames]
    whole = trainer.text_encoder.encode(trainer.text_encoder.split_texts(texts), insert=trainer.model.text_prompts())
    torch.testing.assert_close(trainer.encode_text(), normalize(whole), atol=1e-5, rtol=0)
    prompts = trainer.model.visual_prompts()
    f, tokens, f_0 = trainer.image_sides(image, prompts, frozen=True)
    whole, whole_tokens = trainer.image_encoder(image, insert=prompts, return_tokens=True)
    torch.testing.assert_close(f, normalize(whole), atol=1e-5, rtol=0)
    torch.testing.assert_close(tokens, whole_tokens.mean(1), atol=1e-5, rtol=0)
    torch.testing.assert_close(f_0, normalize(trainer.clip.encode_image(image)), atol=1e-5, rtol=0)


@pytest.mark.parametrize("method", ["KgCoOp", "ProGrad", "TCP", "VPT", "PromptSRC", "CoPrompt", "MMRL", "ANPrompt"])
def test_frozen_targets_come_from_disk(tiny, tmp_path, monkeypatch, method):
    """A second run of the same classes encodes no fixed text, and has the same targets to the last bit."""
    monkeypatch.setenv("ROBUSTPROMPT_CACHE", str(tmp_path / "bank"))

    def targets(trainer) -> list[torch.Tensor]:
        if method == "CoPrompt":
            trainer.build_descriptions()
            return list(trainer.G)
        return [trainer.f_t0] if method in ("MMRL", "ANPrompt") else [trainer.w]

    first = targets(tiny.trainer(tmp_path / "1", method))
    calls = counting(monkeypatch, TextEncoder, "encode_texts")
    second = targets(tiny.trainer(tmp_path / "2", method))
    assert not calls
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    other = tiny.trainer(tmp_path / "3", method, {"DATASET.SUBSAMPLE_CLASSES": "new"})
    assert targets(other)[0].shape[0] != 0 and (calls or method == "CoPrompt")


@pytest.mark.parametrize("method", METHODS)
def test_text_is_encoded_once_a_test(tiny, tmp_path, monkeypatch, method):
    trainer = tiny.trainer(tmp_path, method)
    calls = counting(monkeypatch, TextEncoder, "encode")
    trainer.test()
    batches = len(trainer.test_loader)
    assert batches == 3
    # A text that depends on the image: once more for the distance of the class features, from the first eight images.
    assert len(calls) == {"CoCoOp": batches + 1, "VisPrompt": batches + 1, "VPT": 0, "TipAdapterF": 0}.get(method, 1)


@pytest.mark.parametrize("method", ["CoOp", "CoCoOp", "KgCoOp", "ProGrad", "TCP", "TextRefiner"])
def test_image_features_are_shared_through_the_bank(tiny, tmp_path, monkeypatch, method):
    """Zero-shot CLIP has met the images: none is encoded again, and the accuracy is that of a test without the bank."""
    tiny.trainer(tmp_path / "0", "ZeroshotCLIP", {"TRAINER.ZSCLIP.PREC": "fp32"}).test()
    trainer = tiny.trainer(tmp_path / "1", method)
    calls = counting(monkeypatch, ImageEncoder, "__call__")
    banked = trainer.test()
    assert not calls
    logits = [trainer.model_inference(b["img"]) for b in trainer.test_loader]
    without = tiny.trainer(tmp_path / "2", method, {"TEST.FEATURE_BANK": False})
    assert without.test() == banked and len(calls) > 0
    for mine, b in zip(logits, without.test_loader, strict=True):
        assert torch.equal(mine, without.model_inference(b["img"]))
