"""Losses over text features that differ for each image (B x C text passes), computed for a few images at a time.

Such a loss is a sum over images, and an image's summand depends on its own context alone. So the backward pass of a
chunk of images runs right after its forward pass and frees its activations: loss and gradient are the same as for all
images at once, nothing is computed twice, and only the gradient [B, L, d_t] of the contexts is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from clipkit import ContextPrompts, SplitText, TextEncoder, normalize

if TYPE_CHECKING:
    from torch.autograd.function import FunctionCtx

BUDGET = 2 * 2**30  # bytes of activations at a time, where no number of sequences is given


def encode_per_image(encoder: TextEncoder, prompts: ContextPrompts, ctx: Tensor, together: bool) -> Tensor:
    """[B, C, d], normalised, from a context an image [B, L, d_t]; what an image's C prompts share is computed once.

    together: all images in one pass, which `ContextPrompts.split` offers for names at the end of the prompt.
    """
    if together:
        return normalize(encoder.encode(prompts.split(ctx[:, None])).float())
    return normalize(torch.stack([encoder.encode(prompts.split(own)) for own in ctx]).float())


def images_at_a_time(sequences: int, text: SplitText, encoder: TextEncoder, half: bool) -> int:
    """How many images' C prompts go together, at least one.

    sequences: the most prompts at a time; 0: as many as `BUDGET` holds. It follows from sizes alone, not from the
    memory that happens to be free, so that two runs have the same chunks.
    text: the prompts of one context. half: whether activations take 2 bytes and not 4.
    """
    if sequences:
        return max(1, sequences // text.classes)
    # Kept for the backward pass, in widths: 16 a token around attention and MLP, and keys and values, of which each
    # prompt's end has its own copy of the shared beginning's.
    start = text.prefix.shape[-2]
    ends = sum(len(group.rows) * group.tokens.shape[1] for group in text.groups)
    widths = 16 * (start + ends) + 2 * (start + ends + start * text.classes)
    return max(1, BUDGET // ((2 if half else 4) * encoder.depth * encoder.width * widths))


class _KnownGradient(torch.autograd.Function):
    """Returns `value`, with the given gradient with respect to `x` in the backward pass."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, value: Tensor, gradient: Tensor) -> Tensor:
        ctx.save_for_backward(gradient)
        return value.clone()

    @staticmethod
    def backward(ctx: FunctionCtx, outer: Tensor) -> tuple[Tensor, None, None]:
        return outer * ctx.saved_tensors[0], None, None


def chunked_loss(
    x: Tensor, size: int, part: Callable[[slice, Tensor], tuple[Tensor, Tensor]], scale: float = 1.0
) -> tuple[Tensor, Tensor]:
    """(sum of the parts' losses, their logits [B, C] without gradient) for x [B, ...], `size` rows at a time.

    part: (rows, x[rows]) -> (that chunk's share of the loss, its logits [b, C]); it must depend on no other row of x.
    scale: multiplies the loss in the backward passes and is divided out again: that of a GradScaler, so that fp16
    gradients do not underflow.
    """
    learn = torch.is_grad_enabled() and x.requires_grad
    shares, logits, gradients = [], [], []
    for start in range(0, len(x), size):
        rows = slice(start, start + size)
        own = x[rows].detach().requires_grad_(learn)
        share, z = part(rows, own)
        shares.append(share.detach())
        logits.append(z.detach())
        if learn:
            with torch.autocast(x.device.type, enabled=False):
                gradients.append(torch.autograd.grad(scale * share, own)[0] / scale)
        del share, z
    total, logits = torch.stack(shares).sum(), torch.cat(logits)
    return (_KnownGradient.apply(x, total, torch.cat(gradients)) if learn else total), logits
