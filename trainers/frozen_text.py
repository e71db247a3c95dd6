"""Features of fixed texts (templates, descriptions): encoded once for a backbone, then read from disk."""

from __future__ import annotations

import torch
from torch import Tensor

from clipkit import FeatureBank, TextEncoder, fingerprint


def frozen_text(
    texts: list[str], encoder: TextEncoder, bank: FeatureBank, precision: str, normalized: bool = True
) -> Tensor:
    """fp32 features [N, d] of N whole texts under the frozen text tower."""
    key = {
        "kind": "text features, normalised, fp32" if normalized else "text features, fp32",
        "backbone": fingerprint(encoder.clip_model),
        "precision": precision,
        "device": encoder.device.type,
        "torch": torch.__version__,
        "texts": texts,
    }
    found = bank.get(key, lambda: {"features": encoder.encode_texts(texts, normalized=normalized).cpu()})
    return found["features"].to(encoder.device)
