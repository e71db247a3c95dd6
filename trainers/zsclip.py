"""CLIP without training (Radford et al., ICML 2021): hand-written prompts, one or an ensemble."""

from __future__ import annotations

from torch import Tensor

from clipkit import InputError, normalize
from dassl.config.domains import choice
from dassl.engine import TRAINER_REGISTRY
from datasets.templates import template_set

from .base import PromptTrainer
from .shared.domains import declare


@TRAINER_REGISTRY.register()
class ZeroshotCLIP(PromptTrainer):
    """Text features of `TRAINER.ZSCLIP.TEMPLATES`, averaged over templates where there are several.

    custom: the dataset's own template; select: 7 templates chosen on ImageNet; select+custom: both;
    full80: the 80 templates of the CLIP paper.
    """

    node = "TRAINER.ZSCLIP"
    hand_written = True
    config_defaults = {"TRAINER.ZSCLIP.PREC": "fp16", "TRAINER.ZSCLIP.TEMPLATES": "custom"}
    config_domains = declare(config_defaults, {"TEMPLATES": choice("custom", "select", "select+custom", "full80")})

    def build_learner(self) -> None:
        return None

    def templates(self) -> list[str]:
        return template_set(self.method_cfg().TEMPLATES, self.cfg.DATASET.NAME)

    def encode_text(self) -> Tensor:
        """[C, d]: mean over templates of the normalised features, normalised again."""
        templates = [self.text_noise.template] if self.text_noise.template else self.templates()
        texts = [template.format(name) for template in templates for name in self.classnames]
        features = self.text_encoder.encode_texts(texts).float()
        return normalize(features.view(len(templates), len(self.classnames), -1).mean(0))

    def loss(self, image: Tensor, label: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        raise InputError(f"{type(self).__name__} is not trained; run it with --eval-only.")


@TRAINER_REGISTRY.register()
class ZeroshotCLIP2(ZeroshotCLIP):
    """Prompt ensembling: the 7 selected templates, with the dataset's own unless it is ImageNet."""

    def templates(self) -> list[str]:
        own = "select" if self.cfg.DATASET.NAME == "ImageNet" else "select+custom"
        return template_set(own, self.cfg.DATASET.NAME)
