"""In which precision logits come."""

from __future__ import annotations

import pytest
import torch


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
