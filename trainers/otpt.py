"""O-TPT: Orthogonality Constraints for Calibrating Test-time Prompt Tuning in Vision-Language Models (Sharifdeen et
al., CVPR 2025)."""

from __future__ import annotations

from torch import Tensor
from yacs.config import CfgNode

from dassl.config.domains import number
from dassl.engine import TRAINER_REGISTRY

from .tpt import TPT
from .tta.config import DEFAULTS, DOMAINS

LAMBDA = "TRAINER.OTPT.LAMBDA"
VARIANTS = ("ImageNetV2", "ImageNetA", "ImageNetR", "ImageNetSketch")


@TRAINER_REGISTRY.register()
class OTPT(TPT):
    """TPT that keeps the classes' text features near orthogonal: loss = TPT's + lambda R.

    The published scripts have lambda 18, and 2 on ImageNet's four variants, whose views they mix, unlike ImageNet's.
    """

    config_defaults = {**DEFAULTS, LAMBDA: 18.0}
    config_domains = {**DOMAINS, LAMBDA: number()}

    @classmethod
    def dataset_overrides(cls, cfg: CfgNode) -> dict:
        return super().dataset_overrides(cfg) | ({LAMBDA: 2.0} if cfg.DATASET.NAME in VARIANTS else {})

    @classmethod
    def mixes(cls, dataset: str) -> bool:
        return dataset != "ImageNet"

    def objective(self, logits: Tensor, t: Tensor, *more: Tensor) -> Tensor:
        return super().objective(logits, t) + self.cfg.TRAINER.OTPT.LAMBDA * correlation(t)


def correlation(t: Tensor) -> Tensor:
    """R [B] = mean_c (|G_c| - 1), G = t t^T, of unit text features [B, C, d]; 0 where they are orthogonal.

    The published code reflects each row G_c onto |G_c| e_c (Householder) and takes the distance to e_c. Such a
    reflection keeps lengths, so that the distance is |G_c| - 1, which is never negative, as G_cc = 1.
    """
    return (t @ t.mT).norm(dim=-1).mean(dim=1) - 1
