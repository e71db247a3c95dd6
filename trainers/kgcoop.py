"""KgCoOp: Visual-Language Prompt Tuning with Knowledge-guided Context Optimization (Yao et al., CVPR 2023)."""

from __future__ import annotations

from torch import Tensor

from dassl.config.domains import NOT_NEGATIVE
from dassl.engine import TRAINER_REGISTRY
from datasets.templates import custom_template

from .coop import CoOp, PromptLearner
from .losses import cosine_distance


@TRAINER_REGISTRY.register()
class KgCoOp(CoOp):
    """CoOp whose text features stay near those of the hand-written prompts.

    If `CTX_INIT` holds any words the context starts from "a photo of a", as in the published code; empty or "False": at
    random.
    """

    config_defaults = {**CoOp.config_defaults, "TRAINER.COOP.W": 1.0}  # lambda; the published scripts give 8.0
    config_domains = {**CoOp.config_domains, "TRAINER.COOP.W": NOT_NEGATIVE}
    trains_on_features = True
    stacks = True

    def words(self) -> str:
        return "a photo of a" if super().words() else ""

    def build_learner(self) -> PromptLearner:
        template = custom_template(self.cfg.DATASET.NAME, "kg")
        self.w = self.frozen_text([template.format(name) for name in self.classnames])  # general textual knowledge
        return super().build_learner()

    def loss(self, image: Tensor, label: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """L = L_ce + lambda L_kg, L_kg the distance to the hand-written prompts' features as 1 - cosine."""
        text = self.encode_text()
        logits = self.logits(self.encode_image(image), text)
        near = self.method_cfg().W * cosine_distance(text, self.w)
        return logits, self.classification_loss(logits, label) | {"kg": near}
