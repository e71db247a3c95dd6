"""PTNL: Why Is Prompt Tuning for Vision-Language Models Robust to Noisy Labels? (Wu et al., ICCV 2023)."""

from __future__ import annotations

from torch import Tensor

from dassl.config.domains import choice
from dassl.engine import TRAINER_REGISTRY

from .context import context_architecture, context_defaults
from .coop import CoOp
from .label_noise.robust_losses import NAME, Q, gce, robust_loss
from .shared.domains import declare

N = "TRAINER.PTNL."


@TRAINER_REGISTRY.register()
class PTNL(CoOp):
    """One context for all classes, learned by cross-entropy or by its generalised form."""

    node = "TRAINER.PTNL"
    config_defaults = {
        **context_defaults("TRAINER.PTNL"),
        N + "LOSS": "ce",  # ce | gce
        N + "GCE_Q": 0.5,
        "LOSS.NAME": "",
    }
    config_domains = declare(config_defaults, {"LOSS": choice("ce", "gce"), "GCE_Q": Q, "LOSS.NAME": NAME})
    losses = ()
    architecture = context_architecture("TRAINER.PTNL")

    def classification_loss(self, logits: Tensor, label: Tensor) -> dict[str, Tensor]:
        cfg = self.method_cfg()
        if cfg.LOSS == "gce":
            return {"gce": gce(logits, label, cfg.GCE_Q)}
        return {"ce": robust_loss("ce", logits, label, self.cfg.LOSS)}
