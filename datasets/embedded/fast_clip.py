"""Training-time forward of `clip.model.CLIP`: the same function of the same parameters, several times faster on a CPU.

Three things differ from the stock modules: matrix products run in bfloat16 where the processor has it (layer norms and
the residual stream stay fp32), the image tower can look at a subset of the patches (Li et al. 2023, FLIP), and the text
tower runs only as far as the longest caption, on rows of a compact token table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from clip.model import CLIP, ResidualAttentionBlock
from torch import Tensor

if TYPE_CHECKING:
    from torch.autograd.function import FunctionCtx


def matrix_dtype() -> torch.dtype:
    """bfloat16 on a processor with instructions for it, where it is nearly twice as fast; elsewhere float32."""
    abilities = getattr(torch.cpu, "get_capabilities", dict)()  # older versions of torch do not say
    fast = any(abilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    return torch.bfloat16 if fast else torch.float32


class _QuickGELU(torch.autograd.Function):
    """x * sigmoid(1.702 x); recomputes the sigmoid in the backward pass instead of storing it."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * torch.sigmoid(1.702 * x)

    @staticmethod
    def backward(ctx: FunctionCtx, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        s = torch.sigmoid(1.702 * x)
        return grad * s * (1 + 1.702 * x * (1 - s))


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None, dtype: torch.dtype) -> Tensor:
    return F.linear(x.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype))


def _block(x: Tensor, block: ResidualAttentionBlock, mask: Tensor | None, dtype: torch.dtype) -> Tensor:
    """One residual block; x [B, L, width] fp32, mask [L, L] or None."""
    b, n, width = x.shape
    heads = block.attn.num_heads
    h = F.layer_norm(x, (width,), block.ln_1.weight, block.ln_1.bias)
    qkv = _linear(h, block.attn.in_proj_weight, block.attn.in_proj_bias, dtype)
    q, k, v = qkv.view(b, n, 3, heads, width // heads).permute(2, 0, 3, 1, 4).unbind(0)
    scores = (q * (width // heads) ** -0.5) @ k.transpose(-1, -2)
    if mask is not None:
        scores = scores + mask.to(dtype)
    mixed = (scores.softmax(-1) @ v).transpose(1, 2).reshape(b, n, width)
    x = x + _linear(mixed, block.attn.out_proj.weight, block.attn.out_proj.bias, dtype)
    h = F.layer_norm(x, (width,), block.ln_2.weight, block.ln_2.bias)
    h = _QuickGELU.apply(_linear(h, block.mlp.c_fc.weight, block.mlp.c_fc.bias, dtype))
    return x + _linear(h, block.mlp.c_proj.weight, block.mlp.c_proj.bias, dtype)


def encode_image(clip: CLIP, image: Tensor, keep: Tensor | None = None, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    """Image features [B, embed_dim] of normalised pixels [B, 3, H, W]; keep [B, K]: the patches to look at."""
    visual = clip.visual
    patch = visual.conv1.kernel_size[0]
    b, c, height, width = image.shape
    cells = image.view(b, c, height // patch, patch, width // patch, patch)
    cells = cells.permute(0, 2, 4, 1, 3, 5).reshape(b, -1, c * patch**2)
    position = visual.positional_embedding[1:].expand(b, -1, -1)
    if keep is not None:
        cells = cells.gather(1, keep[..., None].expand(-1, -1, cells.shape[-1]))
        position = position.gather(1, keep[..., None].expand(-1, -1, position.shape[-1]))
    x = _linear(cells, visual.conv1.weight.flatten(1), None, dtype) + position
    start = (visual.class_embedding + visual.positional_embedding[0]).expand(b, 1, -1)
    x = torch.cat((start, x), dim=1)
    x = F.layer_norm(x, x.shape[-1:], visual.ln_pre.weight, visual.ln_pre.bias)
    for block in visual.transformer.resblocks:
        x = _block(x, block, None, dtype)
    x = F.layer_norm(x[:, 0], x.shape[-1:], visual.ln_post.weight, visual.ln_post.bias)
    return x @ visual.proj


def encode_text(
    clip: CLIP, table: Tensor, rows: list[list[int]], dtype: torch.dtype = torch.bfloat16, buckets: int = 3
) -> Tensor:
    """Text features [N, embed_dim] of captions given as rows of `table` [V, width], ending with the end token.

    Captions are sorted by length into buckets, each padded only to its own longest caption: exact, the tower is causal.
    """
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    bounds = [round(len(order) * k / buckets) for k in range(buckets + 1)]
    parts = []
    for low, high in zip(bounds, bounds[1:], strict=False):
        chosen = [rows[i] for i in order[low:high]]
        if not chosen:
            continue
        longest = len(chosen[-1])
        padded = torch.tensor([row + [0] * (longest - len(row)) for row in chosen])
        x = F.embedding(padded, table) + clip.positional_embedding[:longest]
        mask = torch.full((longest, longest), float("-inf")).triu_(1)
        for block in clip.transformer.resblocks:
            x = _block(x, block, mask, dtype)
        last = torch.tensor([len(row) - 1 for row in chosen])
        x = x[torch.arange(len(chosen)), last]
        parts.append(F.layer_norm(x, x.shape[-1:], clip.ln_final.weight, clip.ln_final.bias) @ clip.text_projection)
    back = torch.empty(len(order), dtype=torch.long)
    back[torch.tensor(order)] = torch.arange(len(order))
    return torch.cat(parts)[back]
