"""Plain MMA: adapters beside the stock blocks; the gradients of the adapters' own weights are those at scale 1."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from .base import PlainMethod
from .towers import run_block


class MMA(PlainMethod):
    """Yang et al., CVPR 2024."""

    def adapter(self, side: str, block: int, h: Tensor) -> Tensor:
        p = self.p

        def linear(name: str, x: Tensor) -> Tensor:
            return F.linear(x, p[f"{name}.weight"], p[f"{name}.bias"])

        x = F.relu(linear(f"{side}_adapter.{block}.down.0", h))
        x = F.relu(linear(f"shared_adapter.{block}.0", x))
        return linear(f"{side}_adapter.{block}.up", x)

    def tower(self, side: str, blocks, x: Tensor, mask: Tensor | None) -> Tensor:
        s = self.settings["ADAPTER_SCALE"]
        for number, block in enumerate(blocks, start=1):
            h, x = block.ln_1(x), run_block(block, x, mask)
            if self.settings["ADAPTER_START"] <= number <= self.settings["ADAPTER_END"]:
                through = s * self.frozen(lambda h=h, n=number: self.adapter(side, n, h))  # gradient to x alone
                own = self.adapter(side, number, h.detach())
                x = x + through + own - own.detach()  # the value is 0, the gradient that of scale 1
        return x

    def frozen(self, compute):
        """`compute()` with the learnable tensors as constants."""
        kept, self.p = self.p, {key: tensor.detach() for key, tensor in self.p.items()}
        try:
            return compute()
        finally:
            self.p = kept

    def encode_text(self) -> Tensor:
        clip = self.clip
        embeddings, eot = self.embed([f"{self.settings['TEXT_CTX_INIT']} {name}." for name in self.names])
        x = (embeddings + clip.positional_embedding).permute(1, 0, 2)
        mask = torch.full((len(x), len(x)), float("-inf")).triu(1)
        x = clip.ln_final(self.tower("text", clip.transformer.resblocks, x, mask).permute(1, 0, 2))
        return F.normalize(x[torch.arange(len(x)), eot] @ clip.text_projection, dim=-1)

    def image_features(self, image: Tensor) -> Tensor:
        visual = self.clip.visual
        x = visual.conv1(image).flatten(2).permute(0, 2, 1)
        x = torch.cat([visual.class_embedding.expand(len(x), 1, -1), x], dim=1) + visual.positional_embedding
        x = self.tower("visual", visual.transformer.resblocks, visual.ln_pre(x).permute(1, 0, 2), None)
        return F.normalize(visual.ln_post(x[0]) @ visual.proj, dim=-1)

    def logits(self, image: Tensor) -> Tensor:
        return self.cosines(self.image_features(image), self.encode_text())

    def loss_terms(self, image: Tensor, label: Tensor) -> dict[str, Tensor]:
        return {"ce": F.cross_entropy(self.logits(image), label)}
