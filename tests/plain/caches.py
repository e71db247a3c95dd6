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


class TipAdapter(TipAdapterF):
    """Nothing is trained."""

    buffers = (*TipAdapterF.buffers, "adapter.weight")


class LPpp(PlainMethod):
    """Huang et al., CVPR 2024, on pictures, or on features [n, d]. Its training is `lp_plus_plus`."""

    without_gradient = ("alpha_vec",)  # stepped by itself, by a sum of gradients

    def logits(self, image: Tensor) -> Tensor:
        texts = [custom_template(self.dataset, "coop").format(name) for name in self.names]
        t = self.fixed("w", lambda: self.frozen_features(texts))
        f = image if image.ndim == 2 else self.image_features(image)
        return f @ self.p["fc.weight"].t() + self.p["fc.bias"] + self.p["alpha_vec"] * (f @ t.t())

    def loss_terms(self, image: Tensor, label: Tensor) -> dict[str, Tensor]:
        return {"ce": F.cross_entropy(self.logits(image), label)}


def lp_plus_plus(
    f: Tensor, y: Tensor, t: Tensor, bias: Tensor, epochs: int, accumulated: bool = True
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Huang et al., CVPR 2024: (W, b, alpha) after each epoch. f [n, d], t [C, d], normalised; bias: b at the start."""
    n, classes = len(f), len(t)
    weight = torch.stack([f[y == c].sum(0) for c in range(classes)])
    similar = torch.stack([(f[y == c] @ t[c]).mean() for c in range(classes)])
    W, b = weight.clone().requires_grad_(), bias.clone().requires_grad_()
    alpha = torch.full((classes,), 250 * similar.mean().item(), requires_grad=True)
    rate = 4 * n / torch.linalg.matrix_norm(f, ord=2) ** 2
    alpha_rate = n / (4 * max((f @ t[c]).pow(2).sum() for c in range(classes)))
    speed = [torch.zeros_like(W), torch.zeros_like(b)]
    total, found = torch.zeros(classes), []
    for epoch in range(1, epochs + 1):
        loss = F.cross_entropy(f @ W.t() + b + alpha * (f @ t.t()), y)
        g_W, g_b, g_alpha = torch.autograd.grad(loss, [W, b, alpha])
        total = total + g_alpha if accumulated else g_alpha
        with torch.no_grad():
            for i, (p, g) in enumerate(((W, g_W), (b, g_b))):
                speed[i] = 0.9 * speed[i] + g
                p -= rate * speed[i]
            if epoch % 10 == 0:
                alpha -= alpha_rate * total
        found.append((W.detach().clone(), b.detach().clone(), alpha.detach().clone()))
    return found
