"""Classification losses that are more robust to wrong labels than cross-entropy, by their name in `LOSS.NAME`."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F
from yacs.config import CfgNode

from dassl.config.domains import NOT_NEGATIVE, SHARE, choice, number

LOG_ZERO = -4.0  # stands for log 0 in the reverse cross-entropy (Wang et al., ICCV 2019)


def gce(logits: Tensor, label: Tensor, q: float) -> Tensor:
    """Generalised cross-entropy (Zhang and Sabuncu, NeurIPS 2018): (1 - p_y^q) / q; q -> 0 is CE, q = 1 half of MAE."""
    p_y = logits.softmax(dim=1).gather(1, label[:, None])[:, 0]
    return ((1 - (p_y + 1e-6) ** q) / q).mean()


def mae(logits: Tensor, label: Tensor) -> Tensor:
    """Mean absolute error (Ghosh et al., AAAI 2017): ||p - onehot||_1 = 2 (1 - p_y)."""
    return 2 * (1 - logits.softmax(dim=1).gather(1, label[:, None])).mean()


def sce(logits: Tensor, label: Tensor, alpha: float, beta: float) -> Tensor:
    """Symmetric cross-entropy (Wang et al., ICCV 2019): alpha CE + beta RCE, RCE = -log 0 (1 - p_y)."""
    reverse = -LOG_ZERO * (1 - logits.softmax(dim=1).gather(1, label[:, None])).mean()
    return alpha * F.cross_entropy(logits, label) + beta * reverse


def bootstrap(logits: Tensor, label: Tensor, beta: float) -> Tensor:
    """Soft bootstrapping (Reed et al., ICLR 2015 workshop): CE against beta onehot + (1 - beta) p."""
    log_p = F.log_softmax(logits, dim=1)
    return beta * F.nll_loss(log_p, label) - (1 - beta) * (log_p.exp() * log_p).sum(dim=1).mean()


def confidence_penalty(logits: Tensor, label: Tensor, beta: float) -> Tensor:
    """CE less beta times the entropy of the prediction (Pereyra et al., ICLR 2017 workshop)."""
    log_p = F.log_softmax(logits, dim=1)
    return F.nll_loss(log_p, label) + beta * (log_p.exp() * log_p).sum(dim=1).mean()


def double_softmax(logits: Tensor, label: Tensor) -> Tensor:
    """DSPT (arXiv 2605.00591, by its abstract): CE with probabilities used as logits.

    The softmax is applied twice. The loss lies within [log(e + C - 1) - 1, log(e + C - 1)], and a logit's gradient is
    p_j (g_j - p . g), g = q - onehot(y): it vanishes for labels that are confidently wrong as for those that are
    confidently right.
    """
    return F.cross_entropy(logits.softmax(dim=1), label)


LOSSES = ("ce", "gce", "mae", "sce", "bootstrap", "confidence_penalty", "double_softmax")
DEFAULTS = {
    "LOSS.NAME": "",  # empty: the method's own
    "LOSS.GCE_Q": 0.7,
    "LOSS.SCE_ALPHA": 0.1,
    "LOSS.SCE_BETA": 1.0,
    "LOSS.BOOTSTRAP_BETA": 0.95,
    "LOSS.PENALTY_BETA": 0.1,
}
Q = number(above=0, most=1)
NAME = choice("", *LOSSES, "prograd")  # a method may know fewer: see its `losses`
DOMAINS = {
    "LOSS.NAME": NAME,
    "LOSS.GCE_Q": Q,
    "LOSS.SCE_ALPHA": NOT_NEGATIVE,
    "LOSS.SCE_BETA": NOT_NEGATIVE,
    "LOSS.BOOTSTRAP_BETA": SHARE,
    "LOSS.PENALTY_BETA": NOT_NEGATIVE,
}


def robust_loss(name: str, logits: Tensor, label: Tensor, settings: CfgNode) -> Tensor:
    """The loss of that name on fp32 logits [B, C]; `settings`: the config node LOSS."""
    logits = logits.float() if logits.dtype == torch.float16 else logits
    return {
        "ce": lambda: F.cross_entropy(logits, label),
        "gce": lambda: gce(logits, label, settings.GCE_Q),
        "mae": lambda: mae(logits, label),
        "sce": lambda: sce(logits, label, settings.SCE_ALPHA, settings.SCE_BETA),
        "bootstrap": lambda: bootstrap(logits, label, settings.BOOTSTRAP_BETA),
        "confidence_penalty": lambda: confidence_penalty(logits, label, settings.PENALTY_BETA),
        "double_softmax": lambda: double_softmax(logits, label),
    }[name]()
