"""In which precision logits come."""

from __future__ import annotations

import pytest
import torch
from helpers import METHODS

from dassl.engine import TRAINER_REGISTRY


@pytest.mark.parametrize("method", ["CoOp", "CoCoOp"])
@pytest.mark.parametrize(
    ("precision", "switch", "dtype"),
    [("fp16", False, torch.float32), ("fp16", True, torch.float16), ("amp", True, torch.float32)],
)
def test_logits_are_fp32_unless_an_fp16_run_asks_for_the_published_way(
    tiny, tmp_path, method, precision, switch, dtype
):
    trainer = tiny.trainer(tmp_path, method, {"TRAINER.FP16_LOSS": switch})
    features = trainer.encode_image(torch.randn(2, 3, 16, 16))
    trainer.precision = precision  # a CPU run is fp32 otherwise
    logits = trainer.image_logits(features)
    assert logits.dtype == dtype and logits.shape == (2, 3)
    trainer.precision = "fp32"
    torch.testing.assert_close(logits.float(), trainer.image_logits(features), atol=0.05, rtol=0)


def first_loss(tiny, folder, method: str, pairs: dict | None = None) -> float:
    trainer = tiny.trainer(folder, method, pairs)
    trainer.epoch = trainer.batch_idx = 0
    trainer.num_batches = 10**6
    if method == "ANPrompt":
        trainer.make_noise_ctx()
    loss = trainer.forward_backward(next(iter(trainer.train_loader_x)))["loss"]
    assert all(p.dtype == torch.float32 and torch.isfinite(p).all() for p in trainer.model.parameters())
    assert all(p.grad is not None for p in trainer.model.parameters() if p.requires_grad)
    return loss


@pytest.mark.parametrize("method", METHODS)
def test_half_precision_towers_under_fp32_learners(tiny, tmp_path, method, monkeypatch):
    """fp16 is refused on a CPU, whose kernels are slow but there: with that rule lifted they stand in for a GPU's."""
    expected = first_loss(tiny, tmp_path, method)
    node = TRAINER_REGISTRY.get(method).node
    assert first_loss(tiny, tmp_path, method, {f"{node}.PREC": "bf16"}) == pytest.approx(expected, rel=0.05)
    monkeypatch.setattr("trainers.base.choose_precision", lambda wanted, device: "fp16")
    assert first_loss(tiny, tmp_path, method) == pytest.approx(expected, rel=0.01)
