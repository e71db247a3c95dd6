"""PromptSRC: Self-regulating Prompts (Khattak et al., ICCV 2023)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F
from yacs.config import CfgNode

from dassl.config.domains import NOT_NEGATIVE, POSITIVE, number
from dassl.engine import TRAINER_REGISTRY

from .ivlp import IVLP, PROMPT_SIZES, VLPromptLearner
from .parts.aggregation import EpochAverage, gaussian_weights
from .parts.template_mean import template_mean
from .shared.domains import declare

N = "TRAINER.PROMPTSRC."
# (mean, std) of the aggregation for few-shot training; the other datasets have (45, 5)
FEW_SHOT_WIDE = ("ImageNet", "Caltech101", "OxfordPets", "Food101", "UCF101", "SUN397")
FEW_SHOT_LATE = ("StanfordCars", "OxfordFlowers", "FGVCAircraft", "DescribableTextures", "EuroSAT")


@TRAINER_REGISTRY.register()
class PromptSRC(EpochAverage, IVLP):
    """IVLP regularised in three ways: by CLIP's own features and predictions, by a weighted average of the prompts over
    the epochs, and by text targets from 60 templates.

    The average covers the learnable tensors alone, in fp32; it replaces them after the last epoch.
    """

    node = "TRAINER.PROMPTSRC"
    config_defaults = {
        N + "N_CTX_VISION": 4,
        N + "N_CTX_TEXT": 4,
        N + "CTX_INIT": "a photo of a",
        N + "PREC": "fp16",
        N + "PROMPT_DEPTH_VISION": 9,
        N + "PROMPT_DEPTH_TEXT": 9,
        N + "TEXT_LOSS_WEIGHT": 25.0,
        N + "IMAGE_LOSS_WEIGHT": 10.0,
        N + "GPA_MEAN": 15.0,
        N + "GPA_STD": 1.0,
    }
    config_domains = declare(
        config_defaults,
        PROMPT_SIZES
        | {"TEXT_LOSS_WEIGHT": NOT_NEGATIVE, "IMAGE_LOSS_WEIGHT": NOT_NEGATIVE}
        | {"GPA_MEAN": number(), "GPA_STD": POSITIVE},
    )
    architecture = tuple(N + key.rpartition(".")[2] for key in IVLP.architecture)

    @classmethod
    def dataset_overrides(cls, cfg: CfgNode) -> dict:
        if cfg.TASK != "FS":
            return {}
        if cfg.DATASET.NAME in FEW_SHOT_WIDE:
            return {N + "GPA_MEAN": 30.0, N + "GPA_STD": 30.0}
        return {N + "GPA_MEAN": 45.0, N + "GPA_STD": 5.0} if cfg.DATASET.NAME in FEW_SHOT_LATE else {}

    def build_learner(self) -> VLPromptLearner:
        self.w = template_mean(self)
        return super().build_learner()

    def epoch_weights(self) -> Tensor:
        cfg = self.method_cfg()
        return gaussian_weights(self.cfg.OPTIM.MAX_EPOCH, cfg.GPA_MEAN, cfg.GPA_STD)

    def loss(self, image: Tensor, label: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """L = L_ce + lambda_1 L_SCL-text + lambda_2 L_SCL-image + L_SCL-logits, L1 distances and a KL divergence."""
        cfg = self.method_cfg()
        text, f, f0 = self.encode_text(), self.encode_image(image), self.frozen_image(image)
        logits, zero_shot = self.logits(f, text), self.logits(f0, self.w)
        log_p, log_q = F.log_softmax(zero_shot, dim=1), F.log_softmax(logits, dim=1)
        return logits, {
            "ce": F.cross_entropy(logits, label),
            "scl_text": cfg.TEXT_LOSS_WEIGHT * F.l1_loss(text, self.w),
            "scl_image": cfg.IMAGE_LOSS_WEIGHT * F.l1_loss(f, f0),
            "scl_logits": F.kl_div(log_q, log_p, reduction="sum", log_target=True) / logits.numel(),
        }
