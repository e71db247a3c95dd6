"""Loss and gradient of a batch, for gradient attacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from dassl.utils import InputError

from .losses import cross_entropy

Logits = Callable[[Tensor], Tensor]  # float32 [B, 3, H, W] in [0, 1] -> [B, C]


class Value(NamedTuple):
    """loss [B]; wrong [B]: whether misclassified; gradient [B, 3, H, W] of the summed losses, None if not requested."""

    loss: Tensor
    wrong: Tensor
    gradient: Tensor | None


# (pictures [B, 3, H, W], restart, step, whether a gradient is needed). A random model draws anew by restart and step.
Evaluate = Callable[[Tensor, int, int, bool], Value]


def evaluation(logits: Logits, label: Tensor, loss: Callable[[Tensor, Tensor], Tensor] = cross_entropy) -> Evaluate:
    """`Evaluate` of a deterministic model. The losses are summed, so that an image's gradient is its own.

    Raises InputError when the model's logits have no gradient with respect to the pictures.
    """

    def evaluate(x: Tensor, restart: int, step: int, gradient: bool) -> Value:
        with torch.set_grad_enabled(gradient):
            x = x.detach().requires_grad_(gradient)
            out = logits(x)
            value = loss(out, label)
            grad = gradient_to(x, value) if gradient else None
        return Value(value.detach(), out.detach().argmax(1) != label, grad)

    return evaluate


def gradient_to(x: Tensor, value: Tensor) -> Tensor:
    """d value.sum() / d x, of the shape of x. Raises InputError if `value` does not depend differentiably on x."""
    found = torch.autograd.grad(value.sum(), x, allow_unused=True)[0] if value.requires_grad else None
    if found is None:
        raise InputError(
            "The logits have no gradient with respect to the picture, so a gradient attack would only seem to fail; "
            "give the trainer a differentiable pixel_logits(x01), or take an attack without gradients (square)."
        )
    return found
