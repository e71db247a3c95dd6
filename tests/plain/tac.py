"""Plain TAC: whole sequences of 77 tokens, and a mask for the stock attention module in every block."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from clipkit import tokenize

from .deep import DeepPrompts
from .towers import frozen_image, frozen_text, replace_last, run_block, text_tower


class TAC(DeepPrompts):
    """Hao et al., CVPR 2025. texts: the descriptions of each class. drop: function of (features, what), the dropout
    (set by `same_draw`)."""

    buffers = ("topk", "prompt_learner.topk")

    @staticmethod
    def drop(features: Tensor, what: str) -> Tensor:
        return F.normalize(features, dim=-1)

    def mapped(self, side: str) -> Tensor:
        return F.linear(self.p["topk"], self.p[f"VPT_topk_{side}.weight"], self.p[f"VPT_topk_{side}.bias"])

    def encode_text(self) -> Tensor:
        p_t, ctx = self.mapped("t"), self.p["prompt_learner.ctx"]
        n, words = len(ctx), self.settings["CTX_INIT"]
        tokens = tokenize([f"{words} {name}." for name in self.names])
        embedded = self.clip.token_embedding(tokens).detach()
        rows = [torch.cat([row[:1], p_t, ctx, row[1 : 77 - 2 * n]]) for row in embedded]
        later = {b: torch.cat([p_t, own]) for b, own in self.blocks("text_encoder").items()}

        def before(number: int, x: Tensor) -> Tensor:
            if number not in later:
                return x
            return torch.cat([x[:1], later[number].unsqueeze(1).expand(-1, x.shape[1], -1), x[1 + 2 * n :]])

        return F.normalize(text_tower(self.clip, torch.stack(rows), tokens.argmax(1) + 2 * n, before), dim=-1)

    def raw_image(self, image: Tensor) -> Tensor:
        visual, p_v, own = self.clip.visual, self.mapped("v"), self.p["image_encoder.VPT"]
        x = visual.conv1(image).flatten(2).permute(0, 2, 1)
        x = torch.cat([visual.class_embedding.expand(len(x), 1, -1), x], dim=1) + visual.positional_embedding
        patches = x.shape[1] - 1
        x = torch.cat([x, torch.cat([p_v, own]).expand(len(x), -1, -1)], dim=1)
        mask = torch.zeros(x.shape[1], x.shape[1])
        for row in range(1, 1 + patches):
            for column in range(1 + patches, 1 + patches + len(p_v)):
                mask[row, column] = float("-inf")
        later = replace_last({b: torch.cat([p_v, v]) for b, v in self.blocks("image_encoder").items()})
        x = visual.ln_pre(x).permute(1, 0, 2)
        for number, block in enumerate(visual.transformer.resblocks, start=1):
            x = run_block(block, later(number, x), mask)
        return visual.ln_post(x[0]) @ visual.proj

    def image_features(self, image: Tensor) -> Tensor:
        return F.normalize(self.raw_image(image), dim=-1)

    def targets(self) -> Tensor:
        means = [frozen_text(self.clip, self.texts[name]).mean(0) for name in self.names]
        return F.normalize(torch.stack(means), dim=-1)

    def loss_terms(self, image: list[Tensor], label: Tensor) -> dict[str, Tensor]:
        """image: the views, and last the plain images."""
        *views, plain = image
        t, w, f0 = self.encode_text(), self.fixed("w", self.targets), frozen_image(self.clip, plain)
        f = self.drop(torch.cat([self.raw_image(view) for view in views]), "dropout")
        z = self.scale * f @ t.t()
        ce = [F.cross_entropy(part, label) for part in z.chunk(len(views))]
        distance = [(part - f0).abs().mean() for part in f.chunk(len(views))]
        return {
            "ce": sum(ce) / len(ce),
            "text": self.settings["TEXT_LOSS_WEIGHT"] * (t - w).abs().mean(),
            "image": self.settings["IMAGE_LOSS_WEIGHT"] * sum(distance) / len(distance),
        }
