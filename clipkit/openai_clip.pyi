"""The types of what `openai_clip.py` passes on: the `clip` package has none of its own."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

class ResidualAttentionBlock(nn.Module):
    attn: nn.MultiheadAttention
    ln_1: nn.LayerNorm
    mlp: nn.Sequential  # c_fc, gelu, c_proj
    ln_2: nn.LayerNorm
    attn_mask: Tensor | None

class _Blocks(nn.Sequential):
    def __iter__(self) -> Iterator[ResidualAttentionBlock]: ...

class Transformer(nn.Module):
    def __init__(self, width: int, layers: int, heads: int, attn_mask: Tensor | None = ...) -> None: ...
    width: int
    layers: int
    resblocks: _Blocks

class VisionTransformer(nn.Module):
    input_resolution: int
    output_dim: int
    conv1: nn.Conv2d
    class_embedding: nn.Parameter
    positional_embedding: nn.Parameter
    ln_pre: nn.LayerNorm
    transformer: Transformer
    ln_post: nn.LayerNorm
    proj: nn.Parameter

class _AttentionPool2d(nn.Module):
    positional_embedding: nn.Parameter
    k_proj: nn.Linear
    q_proj: nn.Linear
    v_proj: nn.Linear
    c_proj: nn.Linear

class ModifiedResNet(nn.Module):
    input_resolution: int
    output_dim: int
    avgpool: nn.Module
    layer1: nn.Sequential
    layer2: nn.Sequential
    layer3: nn.Sequential
    layer4: nn.Sequential
    attnpool: _AttentionPool2d

class CLIP(nn.Module):
    visual: VisionTransformer | ModifiedResNet
    transformer: Transformer
    token_embedding: nn.Embedding
    positional_embedding: nn.Parameter
    ln_final: nn.LayerNorm
    text_projection: nn.Parameter
    logit_scale: nn.Parameter
    # Set by clipkit: the name or file it was loaded from, the SHA-256 of another image tower, the model's own.
    backbone_name: str
    visual_weights: str
    _clipkit_fingerprint: str | None
    def __init__(
        self,
        embed_dim: int,
        image_resolution: int,
        vision_layers: int | tuple[int, ...],
        vision_width: int,
        vision_patch_size: int | None,
        context_length: int,
        vocab_size: int,
        transformer_width: int,
        transformer_heads: int,
        transformer_layers: int,
    ) -> None: ...
    @property
    def dtype(self) -> torch.dtype: ...
    def build_attention_mask(self) -> Tensor: ...
    def encode_image(self, image: Tensor) -> Tensor: ...
    def encode_text(self, text: Tensor) -> Tensor: ...

class _Tokenizer:
    encoder: Mapping[str, int]
    decoder: Mapping[int, str]
    def encode(self, text: str) -> list[int]: ...
    def decode(self, tokens: list[int]) -> str: ...

URLS: dict[str, str]
tokenizer: _Tokenizer

def convert_weights(model: nn.Module) -> None: ...
def download(url: str, root: str) -> str: ...
def tokenize(texts: str | list[str], context_length: int = 77, truncate: bool = False) -> Tensor: ...
