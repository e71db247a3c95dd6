"""A name for a set of weights, for cache keys."""

import hashlib

import torch
from torch import nn


def fingerprint(clip_model: nn.Module) -> str:
    """SHA-256 (hex) over names, shapes and float32 values of the state dict, in the order of the names.

    The same OpenAI file loaded as fp32 or fp16 has one fingerprint (its values are exact in both). Computed once and
    kept on the model: the weights are frozen.
    """
    known = getattr(clip_model, "_clipkit_fingerprint", None)
    if known is None:
        digest = hashlib.sha256()
        for name, value in sorted(clip_model.state_dict().items()):
            digest.update(f"{name}{tuple(value.shape)}".encode())
            digest.update(value.detach().to("cpu", torch.float32).contiguous().numpy().data)
        known = clip_model._clipkit_fingerprint = digest.hexdigest()
    return known
