"""CLIP without training (Radford et al., ICML 2021): hand-written prompts, one or an ensemble."""

from __future__ import annotations

from torch import Tensor

from clipkit import InputError, normalize
from dassl.config.domains import choice
from dassl.engine import TRAINER_REGISTRY
from datasets.table_prompts import KINDS, prompts
from datasets.templates import template_set

from .base import PromptTrainer
from .shared.domains import declare


@TRAINER_REGISTRY.register()
class ZeroshotCLIP(PromptTrainer):
    """Text features of `TRAINER.ZSCLIP.TEMPLATES`, averaged over templates where there are several.

    custom: the dataset's own template; plain: "a photo of a NAME." for every dataset; select: 7 templates chosen on
    ImageNet; select+custom: both; full80: the 80 templates of the CLIP paper; ttc, clip_benchmark: templates and class
    names as those tables word them (`datasets/table_prompts.py`).
    """

    node = "TRAINER.ZSCLIP"
    hand_written = True
    config_defaults = {"TRAINER.ZSCLIP.PREC": "fp16", "TRAINER.ZSCLIP.TEMPLATES": "custom"}
    config_domains = declare(
        config_defaults, {"TEMPLATES": choice("custom", "plain", "select", "select+custom", "full80", *KINDS)}
    )

    def build_learner(self) -> None:
        return None

    def templates(self) -> list[str]:
        return template_set(self.method_cfg().TEMPLATES, self.cfg.DATASET.NAME)

    def encode_text(self) -> Tensor:
        """[C, d]: mean over templates of the normalised features, normalised again."""
        texts = self.texts()
        features = self.text_encoder.encode_texts([text for each in texts for text in each]).float()
        return normalize(features.view(len(texts), len(self.classnames), -1).mean(0))

    def texts(self) -> list[list[str]]:
        """The classes' texts, a list for each template."""
        kind = self.method_cfg().TEMPLATES
        if kind in KINDS and not self.text_noise.template:
            return prompts(kind, self.cfg.DATASET.NAME, self.classnames)
        templates = [self.text_noise.template] if self.text_noise.template else self.templates()
        return [[template.format(name) for name in self.classnames] for template in templates]

    def loss(self, image: Tensor, label: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        raise InputError(f"{type(self).__name__} is not trained; run it with --eval-only.")


@TRAINER_REGISTRY.register()
class ZeroshotCLIP2(ZeroshotCLIP):
    """Prompt ensembling: the 7 selected templates, with the dataset's own unless it is ImageNet."""

    def templates(self) -> list[str]:
        own = "select" if self.cfg.DATASET.NAME == "ImageNet" else "select+custom"
        return template_set(own, self.cfg.DATASET.NAME)
