"""FAP's loss: clean pictures by their labels, attacked ones by the predictions of the clean ones."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn import functional as F


def aware_loss(trainer: Any, image: Tensor, label: Tensor, items: Tensor, weight: float) -> tuple[Tensor, dict]:
    """(clean logits [B, C], the terms of L = CE(z(x), y) + weight mean_i KL(p(x_i) || p(x'_i)) (1 + cos(f, f'))).

    trainer: a method with `Adversarial`; a gradient goes through both branches. items: the pictures' indices, which
    key the draws of the attack.
    """
    with trainer.one_step():
        f, t = trainer.encode_image(image), trainer.encode_text()
        z = trainer.logits(f, t)
        attacked = trainer.attacked(image, label, items, z if trainer.precision == "fp32" else None)
        f_adv = trainer.encode_image(attacked)
        z_adv = trainer.logits(f_adv, trainer.encode_text())
    return z, {"ce": F.cross_entropy(z, label), "adv": weight * aware_divergence(z, z_adv, f, f_adv)}


def aware_divergence(z: Tensor, z_adv: Tensor, f: Tensor, f_adv: Tensor) -> Tensor:
    """mean_i KL(p_i || p'_i) (1 + cos(f_i, f'_i)) of logits [B, C] and unit image features [B, d]."""
    log_p, log_q = z.log_softmax(dim=1), z_adv.log_softmax(dim=1)
    divergence = (log_p.exp() * (log_p - log_q)).sum(dim=1)
    return (divergence * (1 + (f * f_adv).sum(dim=1))).mean()
