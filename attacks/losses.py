"""Losses that attacks maximise, per image, from logits."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def cross_entropy(logits: Tensor, label: Tensor) -> Tensor:
    """[B] fp64 from [B, C] logits: -log softmax at the label, as softplus(logsumexp of the others - the label's logit).

    CLIP's logits are 100 times a cosine. For a confident prediction the label's softmax rounds to 1, the gradient of
    the usual form loses the label's part, and its sign is wrong. This form keeps it up to a gap of about 100 between
    the two logits; beyond, fp32 cannot hold the gradient and it is 0.
    """
    others = logits.double().scatter(1, label[:, None], -torch.inf).logsumexp(1)
    return F.softplus(others - logits.double().gather(1, label[:, None])[:, 0])


def dlr(logits: Tensor, label: Tensor) -> Tensor:
    """[B] from [B, C] logits, C at least 3: the difference of logits ratio (Croce and Hein, ICML 2020, Eq. 6).

    -(the label's logit - the largest other one) / (the largest - the third largest). It does not depend on the scale or
    a shift of the logits, so it has a gradient where the cross-entropy's has vanished.
    """
    top = logits.topk(3, dim=1).values
    return -margin(logits, label) / (top[:, 0] - top[:, 2] + 1e-12)


def margin(logits: Tensor, label: Tensor) -> Tensor:
    """[B]: the label's logit less the largest other one; negative where the image is misclassified."""
    others = logits.scatter(1, label[:, None], -torch.inf).amax(1)
    return logits.gather(1, label[:, None])[:, 0] - others
