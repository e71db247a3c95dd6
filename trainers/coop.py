"""CoOp: Learning to Prompt for Vision-Language Models (Zhou et al., IJCV 2022)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from yacs.config import CfgNode

from clipkit import ContextPrompts, normalize
from dassl.config.domains import check_value, choice
from dassl.engine import TRAINER_REGISTRY

from .base import PromptTrainer
from .context import context_architecture, context_defaults, context_words, start_context
from .label_noise.robust_losses import DEFAULTS as LOSS_DEFAULTS
from .label_noise.robust_losses import DOMAINS as LOSS_DOMAINS
from .label_noise.robust_losses import LOSSES, robust_loss
from .shared.domains import declare


class PromptLearner(nn.Module):
    """The context V of Eq. 2 (name at the end) and Eq. 4 (in the middle): `ctx` [M, width], or [C, M, width] (CSC)."""

    def __init__(self, ctx: Tensor, prompts: ContextPrompts) -> None:
        super().__init__()
        self.ctx = nn.Parameter(ctx)
        self.prompts = prompts

    def context(self, ctx: Tensor) -> Tensor:
        """The tokens at the context's place in the prompts, from ctx [M, width] or [C, M, width]. Here: ctx itself."""
        return ctx


@TRAINER_REGISTRY.register()
class CoOp(PromptTrainer):
    """Learns the context tokens before the class name; both encoders stay frozen.

    `CTX_INIT` gives the first words (then N_CTX follows from it), else N(0, 0.02^2). `CLASS_TOKEN_POSITION` puts the
    class name at the end, in the middle or in front of the context. `CSC` learns one context per class.
    """

    node = "TRAINER.COOP"
    config_defaults = {**context_defaults("TRAINER.COOP"), **LOSS_DEFAULTS}
    config_domains = declare(config_defaults, LOSS_DOMAINS)
    losses = LOSSES  # the allowed values of LOSS.NAME
    architecture = context_architecture("TRAINER.COOP")
    trains_on_features = True
    stacks = True

    def check_cfg(self, cfg: CfgNode) -> None:
        super().check_cfg(cfg)
        check_value("LOSS.NAME", cfg.LOSS.NAME, choice("", *self.losses))

    def build_learner(self) -> PromptLearner:
        cfg = self.method_cfg()
        words = self.words()
        n_ctx = len(words.split()) if words else cfg.N_CTX
        position, n_cls = cfg.CLASS_TOKEN_POSITION, len(self.classnames)
        prompts, ctx = start_context(self.clip, self.classnames, n_ctx, words, position=position)
        if cfg.CSC:
            ctx = ctx.repeat(n_cls, 1, 1) if words else 0.02 * torch.randn(n_cls, *ctx.shape)
        return PromptLearner(ctx, prompts)

    def words(self) -> str:
        """The words that the context starts from; "": it is drawn at random."""
        return context_words(self.method_cfg().CTX_INIT)

    def prepare_names(self, names: list[str]) -> ContextPrompts:
        return self.context_learner.prompts.for_names(names)

    def prompted_text(self, prepared: ContextPrompts) -> Tensor:
        """[N, d], not normalised: the names behind the learned context."""
        learner = self.context_learner
        return self.text_encoder.encode(prepared.split(learner.context(learner.ctx))).float()

    def encode_names(self, prepared: ContextPrompts) -> Tensor:
        return normalize(self.prompted_text(prepared))

    def encode_text(self) -> Tensor:
        """g(t_i) of Eq. 3: [C, d], normalised."""
        return self.encode_names(self.context_learner.prompts)

    def classification_loss(self, logits: Tensor, label: Tensor) -> dict[str, Tensor]:
        """{name: value}: cross-entropy, or the loss that `LOSS.NAME` names."""
        name = self.cfg.LOSS.NAME or "ce"
        return {name: robust_loss(name, logits, label, self.cfg.LOSS)}

    def loss(self, image: Tensor, label: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Cross-entropy over the softmax of Eq. 3."""
        logits = self.logits(self.encode_image(image), self.encode_text())
        return logits, self.classification_loss(logits, label)
