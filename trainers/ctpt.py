"""C-TPT: Calibrated Test-Time Prompt Tuning for Vision-Language Models via Text Feature Dispersion (Yoon et al., ICLR
2024)."""

from __future__ import annotations

from torch import Tensor
from yacs.config import CfgNode

from dassl.config.domains import number
from dassl.engine import TRAINER_REGISTRY

from .tpt import TPT
from .tta.config import DEFAULTS, DOMAINS

LAMBDA = "TRAINER.CTPT.LAMBDA"
VARIANTS = ("ImageNetV2", "ImageNetA", "ImageNetR", "ImageNetSketch")


@TRAINER_REGISTRY.register()
class CTPT(TPT):
    """TPT that keeps the classes' text features dispersed, in the same step: loss = TPT's - lambda ATFD.

    The published scripts have lambda 50, and 20 on ImageNet's four variants, whose views they mix, unlike ImageNet's.
    """

    config_defaults = {**DEFAULTS, LAMBDA: 50.0}
    config_domains = {**DOMAINS, LAMBDA: number()}

    @classmethod
    def dataset_overrides(cls, cfg: CfgNode) -> dict:
        return super().dataset_overrides(cfg) | ({LAMBDA: 20.0} if cfg.DATASET.NAME in VARIANTS else {})

    @classmethod
    def mixes(cls, dataset: str) -> bool:
        return dataset != "ImageNet"

    def objective(self, logits: Tensor, t: Tensor) -> Tensor:
        return super().objective(logits, t) - self.cfg.TRAINER.CTPT.LAMBDA * dispersion(t)


def dispersion(t: Tensor) -> Tensor:
    """ATFD [B]: mean_c |t_c - mean_c t| of unit text features [B, C, d]."""
    return (t - t.mean(dim=1, keepdim=True)).norm(dim=-1).mean(dim=1)
