"""CoOp: Learning to Prompt for Vision-Language Models (Zhou et al., IJCV 2022)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clipkit import ContextPrompts, InputError, normalize
from dassl.engine import TRAINER_REGISTRY

from .base import PromptTrainer


class PromptLearner(nn.Module):
    """The context V of Eq. 2 (name at the end) and Eq. 4 (in the middle): `ctx` [M, width], or [C, M, width] (CSC)."""

    def __init__(self, ctx: Tensor, prompts: ContextPrompts) -> None:
        super().__init__()
        self.ctx = nn.Parameter(ctx)
        self.prompts = prompts

    def forward(self) -> Tensor:
        """Prompt embeddings [C, L, width]: start token, context, class name, full stop, end token."""
        return self.prompts(self.ctx)


@TRAINER_REGISTRY.register()
class CoOp(PromptTrainer):
    """Learns the words before the class name; both encoders stay frozen.

    `CTX_INIT` gives the first words (then N_CTX follows from it), else N(0, 0.02^2). `CLASS_TOKEN_POSITION` puts the
    class name at the end, in the middle or in front of the context. `CSC` learns one context per class.
    """

    node = "TRAINER.COOP"
    config_defaults = {
        "TRAINER.COOP.N_CTX": 16,
        "TRAINER.COOP.CSC": False,
        "TRAINER.COOP.CTX_INIT": "",
        "TRAINER.COOP.PREC": "fp16",
        "TRAINER.COOP.CLASS_TOKEN_POSITION": "end",
    }

    def build_learner(self) -> PromptLearner:
        cfg = self.method_cfg()
        ctx_text = cfg.CTX_INIT.replace("_", " ").strip()
        n_ctx = len(ctx_text.split()) if ctx_text else cfg.N_CTX
        if n_ctx < 1:
            raise InputError(f"{self.node}.N_CTX is {n_ctx}, but a prompt needs at least one context token.")
        prompts = ContextPrompts(
            self.clip, self.classnames, n_ctx, ctx_text=ctx_text or None, position=cfg.CLASS_TOKEN_POSITION
        )
        if ctx_text:
            ctx = prompts.init_context().float()
        else:
            ctx = torch.empty(n_ctx, self.text_encoder.width)
            nn.init.normal_(ctx, std=0.02)
        if cfg.CSC:
            n_cls = len(self.classnames)
            ctx = ctx.repeat(n_cls, 1, 1) if ctx_text else nn.init.normal_(ctx.new_empty(n_cls, *ctx.shape), std=0.02)
        return PromptLearner(ctx, prompts)

    def encode_text(self) -> Tensor:
        """g(t_i) of Eq. 3: [C, d], normalised."""
        prompts = self.model()
        return normalize(self.text_encoder(prompts.type(self.text_encoder.dtype), self.model.prompts.eot).float())

    def loss(self, image: Tensor, label: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Cross-entropy over the softmax of Eq. 3."""
        logits = self.logits(self.encode_image(image), self.encode_text())
        return logits, {"ce": F.cross_entropy(logits, label)}
