"""What cached features depend on beside their input, for cache keys: the weights, and the arithmetic."""

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


def arithmetic(device: torch.device) -> str:
    """What the last bits of a result depend on, for cache keys: the GPU's name, or the CPU's number of threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {torch.get_num_threads()} threads"
