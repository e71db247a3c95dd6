"""Plain R-TPT and TPT, one image at a time, with the operations of the published code in its order.

Every pass encodes its images and texts: the plain view, the features of all views, their untuned logits (which are not
used), the tuning step, the tuned logits. These are 1 + 4 n image passes, 4 text passes and one backward pass.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clipkit import tokenize

from .towers import run_block


class PlainTestTimeTuning:
    """`run(views)`: (untuned logits of view 0, the answer), [C] each, for n normalised views [n, 3, h, w] of one image.

    clip_model: a frozen `clip.model.CLIP`; words: the initial context; length: tokens that each prompt is cut to;
    loss "pointwise" or "marginal"; ensemble "reliability" or "none"; mask "ge1" or "diagonal".
    """

    neighbours, temperature = 20, 0.01

    def __init__(
        self,
        clip_model: nn.Module,
        classnames: Sequence[str],
        words: str = "a photo of a",
        length: int = 77,
        loss: str = "pointwise",
        ensemble: str = "reliability",
        mask: str = "ge1",
        steps: int = 1,
    ) -> None:
        self.clip, self.length, self.steps = clip_model, length, steps
        self.loss, self.ensemble, self.mask = loss, ensemble, mask
        texts = [f"{words} {name.replace('_', ' ')}." for name in classnames]
        self.tokens = tokenize(texts)[:, :length].to(clip_model.logit_scale.device)
        self.eot = self.tokens.argmax(dim=1)
        with torch.no_grad():
            self.embeddings = clip_model.token_embedding(self.tokens)
        self.start = self.embeddings[0, 1 : 1 + len(words.split())].clone()
        self.ctx = nn.Parameter(self.start.clone())

    def encode_text(self) -> Tensor:
        """[C, d], normalised, under `self.ctx`."""
        clip, size = self.clip, len(self.ctx)
        rows = [torch.cat([row[:1], self.ctx, row[1 + size :]]) for row in self.embeddings]
        x = (torch.stack(rows) + clip.positional_embedding[: self.length]).permute(1, 0, 2)
        mask = torch.full((self.length, self.length), float("-inf"), dtype=x.dtype, device=x.device).triu(1)
        for block in clip.transformer.resblocks:
            x = run_block(block, x, mask)
        x = clip.ln_final(x.permute(1, 0, 2))
        return F.normalize(x[torch.arange(len(x)), self.eot] @ clip.text_projection, dim=-1)

    def encode_image(self, views: Tensor) -> Tensor:
        with torch.no_grad():
            return F.normalize(self.clip.encode_image(views), dim=-1)

    def logits(self, views: Tensor) -> Tensor:
        """[n, C]; encodes views and texts."""
        return self.clip.logit_scale.exp() * self.encode_image(views) @ self.encode_text().t()

    def run(self, views: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            self.ctx.copy_(self.start)
            before = self.logits(views[:1])[0]
            features = self.encode_image(views)
            self.logits(views)
        optimizer = torch.optim.AdamW([self.ctx], lr=5e-3)
        chosen = None
        for _ in range(self.steps):
            logits = self.logits(views)
            if chosen is None:
                chosen = self.confident(logits)
            optimizer.zero_grad()
            self.objective(logits[chosen]).backward()
            optimizer.step()
        with torch.no_grad():
            tuned = self.logits(views)
            if self.ensemble == "none":
                return before, tuned[0]
            return before, self.weights(features) @ tuned

    @staticmethod
    def confident(logits: Tensor) -> list[int]:
        p = logits.detach().softmax(dim=1)
        entropies = [-sum(x * x.log() for x in row).item() for row in p]
        return sorted(range(len(p)), key=lambda i: entropies[i])[: max(1, int(len(p) * 0.1))]

    def objective(self, logits: Tensor) -> Tensor:
        p = logits.softmax(dim=1)
        if self.loss == "marginal":
            p = p.mean(dim=0, keepdim=True)
        return -(p * p.log()).sum(dim=1).mean()

    def weights(self, features: Tensor) -> Tensor:
        """[n]: softmax of each view's mean similarity to its nearest views."""
        similarity = features @ features.t()
        count = self.neighbours
        if self.mask == "ge1":
            similarity[similarity >= 1.0] = float("-inf")
        else:
            similarity.fill_diagonal_(float("-inf"))
            count = min(count, len(features) - 1)
        nearest = similarity.sort(dim=1, descending=True).values[:, :count]
        return (nearest.mean(dim=1) / self.temperature).softmax(dim=0)
