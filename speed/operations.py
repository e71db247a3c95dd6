"""Counts the operations of a task, attention on a CPU included."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch.utils.flop_counter import sdpa_backward_flop_count, sdpa_flop_count

from dassl.utils import flops

Shape = Sequence[int]


def _attention(query: Shape, key: Shape, value: Shape, *_: object, **__: object) -> int:
    return sdpa_flop_count(query, key, value)


def _attention_backward(grad: Shape, query: Shape, key: Shape, value: Shape, *_: object, **__: object) -> int:
    return sdpa_backward_flop_count(grad, query, key, value)


# torch counts the attention kernels of GPUs by itself, but not these
ATTENTION = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}


def operations(task: Callable[[], object]) -> int:
    """Floating-point operations of one call (matrix products, convolutions, attention), counted by torch."""
    return flops.operations(task, ATTENTION)
