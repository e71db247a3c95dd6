"""Attention by torch's fused kernels, with second derivatives.

The backward pass of a fused kernel cannot be differentiated again. Whether that is needed shows only in the backward
pass: torch runs it with gradients enabled where a graph of the gradient is asked for (`create_graph=True`). Only then
the plain form is computed, from the same queries, keys and values, and its gradient replaces the kernel's. In all
other cases forward and backward pass are the kernel's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

FUSED = F.scaled_dot_product_attention  # torch's own, also while `twice_differentiable` replaces it


def plain_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """softmax(scale q k^T + mask) v by matrix products: any number of derivatives, more memory."""
    with sdpa_kernel(SDPBackend.MATH):
        return FUSED(query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa)


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """torch's function of that name, with second derivatives where nothing is dropped out.

    query [..., L, d], key and value [..., S, d]; the result is [..., L, d]. Within `torch.func` transforms, which have
    no fused kernel, it is the plain form.
    """
    if torch._C._are_functorch_transforms_active():
        return plain_attention(query, key, value, attn_mask, dropout_p, is_causal, scale, enable_gqa)
    out = FUSED(query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa)
    if torch.compiler.is_compiling():  # a compiled graph has no second derivatives anyway, as torch says where it fails
        return out
    node = out.grad_fn
    if node is not None and not dropout_p and node.name().startswith("ScaledDotProduct"):
        inputs = query, key, value

        def differentiable(grad_inputs: tuple, grad_outputs: tuple) -> tuple | None:
            """A hook of the kernel's node: the gradients of the plain form, where they are to be derived again."""
            if not torch.is_grad_enabled():
                return None
            wanted = [i for i, x in enumerate(inputs) if x.requires_grad]
            plain = plain_attention(query, key, value, attn_mask, 0.0, is_causal, scale, enable_gqa)
            found = torch.autograd.grad(plain, [inputs[i] for i in wanted], grad_outputs[0], create_graph=True)
            by_place = dict(zip(wanted, found, strict=True))
            return tuple(by_place.get(i, old) for i, old in enumerate(grad_inputs))

        node.register_hook(differentiable)
    return out


_within = 0


@contextmanager
def twice_differentiable() -> Iterator[None]:
    """Within the block the function above replaces torch's, for modules that call torch's (nn.MultiheadAttention does):
    image towers of other packages, and the attention pool of a ResNet."""
    global _within
    _within += 1
    F.scaled_dot_product_attention = scaled_dot_product_attention
    try:
        yield
    finally:
        _within -= 1
        if not _within:
            F.scaled_dot_product_attention = FUSED
