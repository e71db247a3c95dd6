"""What cached features depend on beside their input, for cache keys: the weights, and the arithmetic."""

import hashlib

import torch

from .architecture import read_architecture
from .backbone_spec import is_openai, spec_of
from .openai_clip import CLIP, ResidualAttentionBlock
from .processor import processor


def fingerprint(clip_model: CLIP) -> str:
    """SHA-256 (hex) over names, shapes and float32 values of the state dict, in the order of the names.

    The same OpenAI file loaded as fp32 or fp16 has one fingerprint (its values are exact in both). Computed once and
    kept on the model: the weights are frozen. Where a backbone computes something else on its weights or its pixels
    than OpenAI's code does (activation, heads, mask, pooling, epsilon, tokenizer, preprocessing), its spec is hashed
    too: two readings of one file never share cached features.
    """
    known = getattr(clip_model, "_clipkit_fingerprint", None)
    if known is None:
        digest = hashlib.sha256()
        for name, value in sorted(clip_model.state_dict().items()):
            digest.update(f"{name}{tuple(value.shape)}".encode())
            digest.update(value.detach().to("cpu", torch.float32).contiguous().numpy().data)
        for reading in _other_readings(clip_model):
            digest.update(reading.encode())
        digest.update(other_spec(clip_model).encode())
        known = clip_model._clipkit_fingerprint = digest.hexdigest()
    return known


def _other_readings(clip_model: CLIP) -> list[str]:
    """A line for each transformer block that has not OpenAI's activation and heads of 64."""
    found = []
    for name, block in clip_model.named_modules():
        if isinstance(block, ResidualAttentionBlock):
            reading = f"{type(getattr(block.mlp, 'gelu', None)).__name__}, {block.attn.num_heads} heads"
            if reading != f"QuickGELU, {block.attn.embed_dim // 64} heads":
                found.append(f"{name}: {reading}")
    return found


def other_spec(clip_model: CLIP) -> str:
    """The backbone's spec, as text; "" where it is that of OpenAI's code at these sizes, or none is known."""
    spec = spec_of(clip_model)
    if spec is None:
        return ""
    if spec.fits_openai_s_class and is_openai(spec, read_architecture(clip_model.state_dict(), "the backbone")):
        return ""
    return spec.canonical()


def arithmetic(device: torch.device) -> str:
    """What the last bits of a result depend on, for cache keys and records: the GPU's name; of a CPU its kind and the
    number of threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    kind = processor() if device.type == "cpu" else device.type
    return f"{kind}, {threads} thread{'s' if threads > 1 else ''}"
