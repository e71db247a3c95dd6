"""DeFT: which loss reaches what, batches without a trusted label, the decision of the last epoch."""

from __future__ import annotations

import json

import pytest
import torch
from test_paper_losses import moved

from tests.plain import plain_of, same_draw

N = "TRAINER.DEFT."


@pytest.fixture
def trainer(tiny, tmp_path):
    trainer = tiny.trainer(tmp_path, "DeFT", {"DATASET.SUBSAMPLE_CLASSES": "all"})
    with torch.no_grad():
        for p in trainer.model.parameters():
            p += 0.05 * torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel()))
    trainer.set_model_mode("train")
    trainer.epoch, trainer.batch_idx, trainer.num_batches = 0, 0, 10
    return trainer


def images(count: int = 5) -> torch.Tensor:
    return torch.randn(count, 3, 16, 16, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("epoch", [0, 2])
def test_the_negative_term_reaches_the_negative_context_alone(trainer, epoch):
    trainer.epoch = epoch
    _, terms = trainer.loss(images(), torch.arange(5))
    names = dict(trainer.model.named_parameters())
    found = torch.autograd.grad(terms["neg"], list(names.values()), allow_unused=True)
    assert [name for name, g in zip(names, found, strict=True) if g is not None] == ["prompt_learner.neg_ctx"]


@pytest.mark.parametrize("variant", ["synthetic", "real"])
def test_a_batch_without_a_trusted_label(trainer, variant, monkeypatch):
    """The negative prompts win everywhere: L_cls is 0 and its gradient is zero, neither is NaN."""
    trainer.epoch = 3
    far = torch.full((5, 5), 1000.0)
    real = trainer.logits
    calls = []

    def logits(f, t):
        calls.append(f)
        return real(f, t) if len(calls) == 1 else far + 0 * real(f, t)

    monkeypatch.setattr(trainer, "logits", logits)
    _, terms = trainer.loss(images(), torch.arange(5))
    assert terms["cls"] == 0 and torch.isfinite(terms["neg"])
    sum(terms.values()).backward()
    assert all(torch.isfinite(p.grad).all() for p in trainer.model.parameters() if p.grad is not None)


@pytest.mark.parametrize("variant", ["synthetic", "real"])
@pytest.mark.parametrize("epoch", [0, 1, 2])
def test_terms_in_and_after_a_warm_up_of_two_epochs(tiny, tmp_path, variant, epoch):
    """Which label a distrusted image's negative prompt is trained on changes after the warm-up, with real noise after
    the first epoch."""
    everything = {"DATASET.SUBSAMPLE_CLASSES": "all", N + "WARMUP": 2, N + "VARIANT": variant}
    trainer = tiny.trainer(tmp_path, "DeFT", everything)
    moved(trainer)
    plain, label = plain_of("DeFT", trainer), torch.arange(5).repeat(2)
    trainer.set_model_mode("train")
    trainer.epoch, trainer.batch_idx = epoch, 0
    same_draw(plain, trainer)
    _, ours = trainer.loss(images(10), label)
    theirs = plain.loss_terms(images(10), label)
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, atol=1e-5, rtol=1e-5)
    z = trainer.image_logits(trainer.encode_image(images(10)))
    assert (z.argmax(dim=1) != label).any()  # else the two labels were the same


def test_other_classes(trainer):
    label = torch.arange(5).repeat(200)
    other = trainer.other_classes(label)
    assert (other != label).all() and len({*zip(label.tolist(), other.tolist(), strict=True)}) == 20
    assert torch.equal(other, trainer.other_classes(label))
    trainer.batch_idx = 1
    assert not torch.equal(other, trainer.other_classes(label))


def test_tokens_stand_after_ln_pre(trainer):
    prompts = trainer.model.visual_prompts()
    late = trainer.image_encoder(images(), replace=prompts, after_norm=True)
    assert not torch.allclose(late, trainer.image_encoder(images(), replace=prompts), atol=1e-6)


def test_the_last_epoch_decides_on_every_item(tiny, tmp_path):
    pairs = {"DATALOADER.TRAIN_X.BATCH_SIZE": 5, "DATASET.NOISE.TYPE": "sym_other", "DATASET.NOISE.RATE": 0.25}
    assert tiny.run(tmp_path / "run", "DeFT", pairs=pairs) == 0
    found = json.loads((tmp_path / "run" / "decisions.json").read_text())
    assert found["epoch"] == 3 and len(found["clean"]) == len(found["score"]) == 12
    assert [int(score > 0.5) for score in found["score"]] == found["clean"]
    assert len({round(score, 6) for score in found["score"]}) > 6
