"""Plain test-time methods on features: one image at a time, torch's AdamW, sums written out."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def entropies(logits: Tensor) -> list[float]:
    p = logits.softmax(dim=1)
    return [-sum(x * x.log() for x in row if x > 0).item() for row in p]


def surest(logits: Tensor) -> list[int]:
    found = entropies(logits)
    return sorted(range(len(found)), key=lambda i: found[i])


def zero(f: Tensor, t: Tensor, scale: float, gamma: float = 0.3, eps: float = 0.0) -> Tensor:
    """The votes [C] of one image's views f [n, d]; eps: the temperature, 0 for hard votes."""
    cosines = f @ t.t()
    order = surest(scale * cosines)
    kept = order[: max(1, int(len(f) * gamma))]
    votes = torch.zeros(len(t), dtype=f.dtype)
    for i in kept:
        if eps:
            votes += (cosines[i] / eps).softmax(dim=0)
        else:
            first = [c for c in range(len(t)) if cosines[i][c] == cosines[i].max()]
            for c in first:
                votes[c] += 1 / len(first)
    tied = [c for c in range(len(t)) if votes[c] == votes.max()]
    if len(tied) > 1:
        rest = [cosines[i] for i in order if i not in kept]
        winner = next((int(row.argmax()) for row in rest if int(row.argmax()) in tied), None)
        if winner is None:
            winner = max(tied, key=lambda c: rest[0][c].item()) if rest else tied[0]
        votes[winner] += 1
    return votes


def marginal(logits: Tensor) -> Tensor:
    p = logits.softmax(dim=1).mean(dim=0)
    return -(p * p.log()).sum()


def tps(
    f: Tensor, c: Tensor, scale: float, steps: int = 1, shared: bool = False, lr: float = 5e-3, film: bool = False
) -> Tensor:
    """Logits [C] of one image's plain view. c: prototypes [C, d]; film: they are scaled, too."""
    shift = torch.zeros(1 if shared else len(c), c.shape[1], dtype=f.dtype, requires_grad=True)
    factor = torch.ones_like(shift).requires_grad_(film)
    optimizer = torch.optim.AdamW([shift, factor] if film else [shift], lr=lr)

    def moved() -> Tensor:
        return F.normalize(factor * F.normalize(c, dim=1) + shift, dim=1)

    for _ in range(steps):
        logits = scale * f @ moved().t()
        chosen = surest(logits.detach())[: max(1, int(len(f) * 0.1))]
        optimizer.zero_grad()
        marginal(logits[chosen]).backward()
        optimizer.step()
    return (scale * f[:1] @ moved().t())[0].detach()


def reflections(t: Tensor) -> Tensor:
    """O-TPT's R as published: each row of t t^T [C, C] reflected onto its class's axis."""
    gram, eye = t @ t.t(), torch.eye(len(t), dtype=t.dtype)
    found = []
    for row, axis in zip(gram, eye, strict=True):
        v = row - row.norm() * axis
        reflected = row - 2 * v * (v @ row) / (v @ v)
        found.append((reflected - axis).norm())
    return torch.stack(found).mean()


def ss_weights(f: Tensor, p: Tensor, q: Tensor, among: list[int]) -> Tensor:
    """SS-TPT's weights of the views `among`, of features f [n, d] and probabilities p, q [n, C]."""
    n = len(f)
    u = [1 / (sum((f[i] - f[j]).square().sum() for j in range(n) if j != i) / (n - 1) + 1e-8) for i in range(n)]
    b = []
    for i in range(n):
        x, y = p[i] + 1e-8, q[i] + 1e-8
        m = (x + y) / 2
        b.append(1 / (0.5 * ((m * (m / x).log()).sum() + (m * (m / y).log()).sum()) + 1e-8))
    u, b = (torch.stack([z[i] for i in among]) for z in (u, b))
    u, b = ((z - z.min()) / (z.max() - z.min()) for z in (u, b))
    return ((0.4 * u + 0.6 * b) / 0.25).softmax(dim=0)


def ss_loss(logits: Tensor, w: Tensor) -> Tensor:
    """Of the chosen views' logits [k, C]; w [k]."""
    total, p = torch.zeros((), dtype=logits.dtype), logits.softmax(dim=1)
    for i in range(len(p)):
        r = sum(w[j] * p[j] for j in range(len(p)) if j != i) / sum(w[j] for j in range(len(p)) if j != i)
        total = total - (p[i] * p[i].log()).sum() + F.kl_div(p[i].log(), r.detach(), reduction="sum")
    return total / len(p)
