"""VisPrompt's losses under label noise: which item gets which loss, and the two robust losses of its code."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional as F
from yacs.config import CfgNode

from ..label_noise.prompt_ot import ot_decision
from ..label_noise.robust_losses import gce

SMOOTHING = 1e-6  # of the one-hot label in the reverse cross-entropy


def smoothed_sce(logits: Tensor, label: Tensor, alpha: float, beta: float) -> Tensor:
    """alpha CE + beta RCE, RCE = -sum_c p_c log t_c, t the one-hot label with SMOOTHING spread over all classes."""
    target = F.one_hot(label, logits.shape[1]) * (1 - SMOOTHING) + SMOOTHING / logits.shape[1]
    reverse = -(logits.softmax(dim=1) * target.to(logits.dtype).log()).sum(dim=1).mean()
    return alpha * F.cross_entropy(logits, label) + beta * reverse


def loss_name(part: str, cfg: CfgNode) -> str:
    """Name of the loss for a step on `part` of the training list; "mixed": it differs between items. cfg: the method's
    node."""
    if cfg.PURIFY == "ot_global":
        return cfg.LOSS_NOISY if part == "noisy" else "ce"
    return cfg.LOSS_ALL if cfg.PURIFY == "none" else "mixed"


def trusted_in_batch(logits: Callable[[], Tensor], label: Tensor, cfg: CfgNode) -> Tensor | None:
    """With PURIFY ot_batch: [B] bool, True where the transport within the batch agrees with the label. Else None."""
    if cfg.PURIFY != "ot_batch":
        return None
    return ot_decision(logits().softmax(dim=1), label, cfg.REG_E, cfg.OT_COST).clean


def label_loss(name: str, logits: Tensor, label: Tensor, trusted: Tensor | None, cfg: CfgNode) -> Tensor:
    """The mean loss of the items: `name`, or cross-entropy for the trusted ones and LOSS_NOISY for the others."""
    if trusted is None:
        return _named_loss(name, logits, label, cfg)
    parts = (("ce", trusted), (cfg.LOSS_NOISY, ~trusted))
    return sum(_named_loss(n, logits[i], label[i], cfg) * i.sum() for n, i in parts if i.any()) / len(label)


def _named_loss(name: str, logits: Tensor, label: Tensor, cfg: CfgNode) -> Tensor:
    logits = logits.float()
    if name == "ce":
        return F.cross_entropy(logits, label)
    if name == "sce":
        return smoothed_sce(logits, label, cfg.SCE_ALPHA, cfg.SCE_BETA)
    return gce(logits, label, cfg.GCE_Q if name == "gce" else 1.0)  # q = 1: 1 - p_y
