"""Methods on frozen features: Tip-Adapter and what follows it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from datasets.templates import custom_template

from .base import PlainMethod


class TipAdapterF(PlainMethod):
    """Zhang et al., ECCV 2022: zero-shot logits, and the votes of the training images, one after another."""

    buffers = ("values", "alpha", "beta")

    def logits(self, image: Tensor) -> Tensor:
        texts = [custom_template(self.dataset, "coop").format(name) for name in self.names]
        f = self.image_features(image)
        z = self.cosines(f, self.fixed("w", lambda: self.frozen_features(texts)))
        votes = torch.zeros_like(z)
        for key, value in zip(self.p["adapter.weight"], self.p["values"].long().tolist(), strict=True):
            vote = torch.exp(-self.p["beta"] * (1 - (f * key).sum(-1)))
            votes = votes + vote[:, None] * F.one_hot(torch.tensor(value), len(self.names)).to(vote)
        return z + self.p["alpha"] * votes

    def loss_terms(self, image: Tensor, label: Tensor) -> dict[str, Tensor]:
        return {"ce": F.cross_entropy(self.logits(image), label)}
