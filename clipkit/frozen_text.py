"""Features of fixed texts (templates, descriptions): encoded once for a backbone, then read from disk."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .feature_bank import FeatureBank
from .fingerprint import arithmetic, fingerprint
from .text_encoder import TextEncoder
from .tokens import check_length


def text_key(encoder: TextEncoder, precision: str) -> dict[str, str]:
    """The part of a feature bank's key that all texts under a frozen tower share: all but the texts themselves."""
    return {
        "backbone": fingerprint(encoder.clip_model),
        "precision": precision,
        "device": arithmetic(encoder.device),
        "torch": torch.__version__,
    }


def frozen_text(
    texts: Sequence[str],
    encoder: TextEncoder,
    bank: FeatureBank,
    precision: str,
    normalized: bool = True,
    too_long: str = "refuse",
) -> Tensor:
    """fp32 features [N, d] of N whole texts under the frozen text tower. too_long: as in `tokenize`."""
    kind = "text features, normalised, fp32" if normalized else "text features, fp32"
    key = {
        "kind": kind,
        **text_key(encoder, precision),
        "texts": list(texts),
        **long_key(check_length(texts, too_long=too_long, tokenizer=encoder.tokenizer)),
    }
    found = bank.get(
        key, lambda: {"features": encoder.encode_texts(texts, normalized=normalized, too_long=too_long).cpu()}
    )
    return found["features"].to(encoder.device)


def long_key(truncated: bool) -> dict[str, str]:
    """The part of a bank's key that keeps features of truncated texts from runs that refuse such texts."""
    return {"too_long": "truncate"} if truncated else {}
