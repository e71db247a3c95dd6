"""CoCoOp: Conditional Prompt Learning for Vision-Language Models (Zhou et al., CVPR 2022)."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clipkit import ContextPrompts, SplitText, normalize
from dassl.config.domains import whole
from dassl.engine import TRAINER_REGISTRY

from .base import PromptTrainer
from .context import start_context, words_and_length
from .shared.domains import declare


class PromptLearner(nn.Module):
    """`ctx` [M, width], and `meta_net`, which turns an image feature [d] into a shift of the context [width]."""

    def __init__(self, ctx: Tensor, prompts: ContextPrompts, image_dim: int) -> None:
        super().__init__()
        hidden, width = image_dim // 16, ctx.shape[-1]
        self.prompts = prompts
        self.ctx = nn.Parameter(ctx)
        layers = [("linear1", nn.Linear(image_dim, hidden)), ("relu", nn.ReLU()), ("linear2", nn.Linear(hidden, width))]
        self.meta_net = nn.Sequential(OrderedDict(layers))

    def forward(self, features: Tensor) -> SplitText:
        """Normalised image features [B, d] -> the prompts of B images: v_m(x) = v_m + pi, pi = h(x)."""
        pi = self.meta_net(features)
        return self.prompts.split(self.context(self.ctx + pi[:, None, None]))

    def context(self, ctx: Tensor) -> Tensor:
        """The tokens [B, 1, n, width] at the context's place in the prompts, from ctx [B, 1, M, width]. Here: ctx
        itself."""
        return ctx


@TRAINER_REGISTRY.register()
class CoCoOp(PromptTrainer):
    """A context that depends on the image: one text feature per image and class.

    Images and classes are encoded together, as many images at a time as `TOKEN_BUDGET` text tokens hold.
    """

    node = "TRAINER.COCOOP"
    config_defaults = {
        "TRAINER.COCOOP.N_CTX": 16,
        "TRAINER.COCOOP.CTX_INIT": "",
        "TRAINER.COCOOP.PREC": "fp16",
        "TRAINER.COCOOP.TOKEN_BUDGET": 16384,
    }
    config_domains = declare(config_defaults, {"TOKEN_BUDGET": whole(1)})
    architecture = ("TRAINER.COCOOP.N_CTX", "TRAINER.COCOOP.CTX_INIT")
    trains_on_features = True

    def build_learner(self) -> PromptLearner:
        cfg = self.method_cfg()
        words, n_ctx = words_and_length(cfg)
        prompts, ctx = start_context(self.clip, self.classnames, n_ctx, words)
        return PromptLearner(ctx, prompts, self.image_encoder.embed_dim)

    def conditional_logits(self, features: Tensor) -> Tensor:
        """[B, C] logits of normalised image features [B, d]: each image against its own C text features."""
        parts = features.split(self.images_at_a_time())
        return torch.cat([self.logits(f, self.conditional_text(f)) for f in parts])

    def conditional_text(self, features: Tensor) -> Tensor:
        """[B, C, d] normalised text features under B images' own contexts."""
        return normalize(self.text_encoder.encode(self.model(features)).float())

    def class_features(self) -> Tensor:
        image = self.tester.first_images()
        return self.conditional_text(image if image.ndim == 2 else self.encode_image(image))

    def images_at_a_time(self) -> int:
        """How many images the token budget holds; at least one."""
        prompts = self.model.prompts
        return max(1, self.method_cfg().TOKEN_BUDGET // (len(prompts.texts) * (prompts.length - prompts.shared)))

    def loss(self, image: Tensor, label: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        logits = self.conditional_logits(self.encode_image(image))
        return logits, {"ce": F.cross_entropy(logits, label)}

    def image_logits(self, features: Tensor) -> Tensor:
        return self.conditional_logits(features)
