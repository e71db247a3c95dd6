"""MMA: the scale of the adapters' gradients, and frozen lower blocks."""

from __future__ import annotations

import pytest
import torch
from test_paper_losses import moved

from clipkit import ImageEncoder, TextEncoder, normalize

N = "TRAINER.MMADAPTER."


def test_a_weights_gradient_is_that_of_scale_one(tiny, tmp_path):
    """The finite difference of the loss, times 1 / s, in double precision."""
    scale = 0.01
    trainer = tiny.trainer(tmp_path, "MMA", {N + "ADAPTER_SCALE": scale})
    moved(trainer)
    trainer.epoch = trainer.batch_idx = 0
    torch.manual_seed(0)
    image, label = torch.randn(4, 3, 16, 16), torch.tensor([0, 1, 2, 0])
    # in the last block: what reaches a lower one through the blocks between is no pure multiple of s
    for side in ("text", "visual"):
        weight = getattr(trainer.model, f"{side}_adapter")["3"].up.weight
        trainer.model.zero_grad()
        trainer.loss(image, label)[1]["ce"].backward()
        step = weight.grad / weight.grad.norm()
        values = []
        with torch.no_grad():
            for sign in (1, -1):
                weight += sign * step
                values.append(trainer.loss(image, label)[1]["ce"].item())
                weight -= sign * step
        found = (values[0] - values[1]) / 2
        assert found / scale == pytest.approx((weight.grad * step).sum().item(), rel=0.02)


def test_lower_blocks_run_once_and_keep_no_graph(tiny, tmp_path, monkeypatch):
    trainer = tiny.trainer(tmp_path, "MMA")
    moved(trainer)
    trainer.epoch = trainer.batch_idx = 0
    calls = {"text": 0, "image": 0}
    for name, kind in (("text", TextEncoder), ("image", ImageEncoder)):
        real = kind.lower

        def counted(self, *args, real=real, name=name, **kwargs):
            calls[name] += 1
            found = real(self, *args, **kwargs)
            assert name == "text" or not found.requires_grad
            return found

        monkeypatch.setattr(kind, "lower", counted)
    image, label = torch.randn(4, 3, 16, 16), torch.tensor([0, 1, 2, 0])
    for _ in range(2):
        trainer.loss(image, label)
    assert calls == {"text": 0, "image": 2}
    whole = trainer.text_with_adapters
    texts = whole.split_texts([f"a photo of a {name}." for name in trainer.classnames])
    torch.testing.assert_close(trainer.encode_text(), normalize(whole.encode(texts)), atol=1e-5, rtol=0)
    torch.testing.assert_close(
        trainer.encode_image(image), normalize(trainer.image_with_adapters(image)), atol=1e-5, rtol=0
    )


def test_without_a_scale_it_is_zero_shot(tiny, tmp_path):
    trainer = tiny.trainer(tmp_path, "MMA", {N + "ADAPTER_SCALE": 1e-12})
    image = torch.randn(3, 3, 16, 16)
    torch.testing.assert_close(trainer.encode_image(image), trainer.frozen_image(image), atol=1e-5, rtol=0)


def test_blocks_that_are_not_there_are_refused(tiny, tmp_path):
    from clipkit import InputError

    with pytest.raises(InputError, match="ADAPTER_START to ADAPTER_END"):
        tiny.trainer(tmp_path, "MMA", {N + "ADAPTER_END": 4})
