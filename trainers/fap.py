"""FAP: Few-Shot Adversarial Prompt Learning on Vision-Language Models (Zhou et al., NeurIPS 2024)."""

from __future__ import annotations

from torch import Tensor

from dassl.config.domains import NOT_NEGATIVE
from dassl.engine import TRAINER_REGISTRY
from datasets.templates import custom_template

from .adversarial import Adversarial
from .context import start_context
from .maple import MaPLe
from .parts.aware_loss import aware_loss
from .parts.image_to_text import DEFAULTS, DOMAINS, N, PromptLearner
from .parts.training_attack import CONFIG_DEFAULTS, CONFIG_DOMAINS
from .shared.checks import check_depth, check_vit

LAMBDA = N + "LAMBDA"


class ImageToText(MaPLe):
    """The prompts of FAP and AdvMaPLe: MaPLe's, with deep text prompts computed from deep vision prompts."""

    node = "TRAINER.FAP"
    config_defaults = DEFAULTS
    config_domains = DOMAINS
    architecture = tuple(N + key for key in ("N_CTX", "PROMPT_DEPTH", "CTX_TEMPLATE"))

    @classmethod
    def architecture_of(cls, state: dict) -> dict:
        if "prompt_learner.ctx" not in state:
            return {}
        deeper = sum(key.startswith("prompt_learner.compound_prompts_image.") for key in state)
        return {N + "N_CTX": len(state["prompt_learner.ctx"]), N + "PROMPT_DEPTH": deeper + 1}

    def build_prompts(self) -> PromptLearner:
        cfg = self.method_cfg()
        check_vit(self, "puts tokens into the image tower")
        check_depth(N + "PROMPT_DEPTH", cfg.PROMPT_DEPTH, min(self.image_encoder.depth, self.text_encoder.depth))
        words = "a photo of a" if cfg.CTX_TEMPLATE == "plain" else custom_template(self.cfg.DATASET.NAME)
        prompts, ctx = start_context(self.clip, self.classnames, cfg.N_CTX, words)
        return PromptLearner(ctx, prompts, self.image_encoder.width, cfg.PROMPT_DEPTH)


@TRAINER_REGISTRY.register()
class FAP(Adversarial, ImageToText):
    """Learns from clean pictures, and pulls the predictions of attacked ones to theirs while features move apart.

    L = CE(z(x), y) + LAMBDA mean_i KL(p(x_i) || p(x'_i)) (1 + cos(f(x_i), f(x'_i))), with a gradient through both
    branches: the factor, between 0 and 2, pushes clean and attacked image features apart. The attack ascends the same
    KL in two steps of eps, from a uniform start.
    """

    host = ImageToText
    preset = "fap"
    config_defaults = {**DEFAULTS, LAMBDA: 1.5, **CONFIG_DEFAULTS}
    config_domains = {**DOMAINS, LAMBDA: NOT_NEGATIVE, **CONFIG_DOMAINS}

    def loss(self, image: Tensor, label: Tensor, items: Tensor, *more: object) -> tuple[Tensor, dict[str, Tensor]]:
        return aware_loss(self, image, label, items, self.method_cfg().LAMBDA)
