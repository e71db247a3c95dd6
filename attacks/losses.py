"""Losses that attacks maximise, per image, from logits."""

from __future__ import annotations

from collections.abc import Callable

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


def hinge(logits: Tensor, label: Tensor, kappa: float = 0.0) -> Tensor:
    """[B]: -max(margin + kappa, 0), the loss of Carlini and Wagner (S&P 2017) in the L-infinity ball; without a
    gradient once the label's logit is more than kappa below another one."""
    return -(margin(logits, label) + kappa).clamp_min(0)


def divergence_from(clean: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    """The loss KL(p || q), [B], of logits against the prediction p of the clean pictures (logits [B, C]), as in TRADES
    (Zhang et al., ICML 2019). It does not look at the label."""
    log_p = clean.detach().double().log_softmax(dim=1)

    def loss(logits: Tensor, label: Tensor) -> Tensor:
        log_q = logits.double().log_softmax(dim=1)
        return (log_p.exp() * (log_p - log_q)).sum(dim=1)

    return loss
