"""SS-TPT: test-time prompt tuning on suitable and stable views (ICML 2026)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dassl.config.domains import NOT_NEGATIVE, POSITIVE, whole
from dassl.engine import TRAINER_REGISTRY

from .tpt import TPT
from .tta.adaptive_views import VIEWS, attack_seeds, differentiable_views, smooth_step
from .tta.config import DEFAULTS, DOMAINS
from .tta.per_image_adamw import PerImageAdamW
from .tta.view_ensemble import entropy, pointwise_entropy, take, weighted
from .tta.weak_views import weak_views

S = "TRAINER.SSTPT."


@TRAINER_REGISTRY.register()
class SSTPT(TPT):
    """R-TPT with 16 views, weighted by their suitability and stability.

    A view is suitable if it is near the others, u_i = 1 / mean_j |f_i - f_j|^2, and stable if a weakly changed copy of
    it has a similar prediction q_i, b_i = 1 / D(p_i, q_i). Both are scaled to [0, 1] over the views that are compared,
    and w = softmax((SUITABLE u + STABLE b) / TEMP). The prompt is tuned on the three most confident views, by their
    mean entropy and CONSISTENCY KL(r_i || p_i), r_i the w-weighted mean of the other two. The answer is the w-weighted
    sum over all views. u and b are computed with the prompt that an image starts from.
    """

    unread = ("N_VIEWS", "SELECTION_P", "LOSS", "ENSEMBLE", "ENS_TOPK", "ENS_TEMP", "ENS_SELF_MASK", "GRAD_PATH")
    own = {"LOSS": "pointwise", "ENSEMBLE": "reliability"}
    config_defaults = {
        **DEFAULTS,
        S + "N_VIEWS": 16,
        S + "SELECTED": 3,  # number of views that the prompt is tuned on
        S + "SUITABLE": 0.4,
        S + "STABLE": 0.6,
        S + "TEMP": 0.25,
        S + "CONSISTENCY": 1.0,
    }
    config_domains = {
        **DOMAINS,
        **{S + key: whole(1) for key in ("N_VIEWS", "SELECTED")},
        **{S + key: NOT_NEGATIVE for key in ("SUITABLE", "STABLE", "CONSISTENCY")},
        S + "TEMP": POSITIVE,
    }

    def n_views(self) -> int:
        return self.cfg.TRAINER.SSTPT.N_VIEWS

    def choose(self, logits: Tensor) -> Tensor:
        """[B, k]: the SELECTED views of lowest entropy, from logits [B, n, C]."""
        return entropy(logits).argsort(dim=1, stable=True)[:, : self.cfg.TRAINER.SSTPT.SELECTED]

    def respond(self, views: Tensor, seeds: list[int]) -> tuple[Tensor, Tensor]:
        f, g = self.both(views, seeds)
        return self.view_logits(f[:, :1], self.text_features())[:, 0], self.from_both(f, g)

    def both(self, views: Tensor, seeds: Sequence[int]) -> tuple[Tensor, Tensor]:
        """[B, n, d] features of the views, and of their weakly changed copies."""
        weak = torch.stack([weak_views(own, seed) for own, seed in zip(views, seeds, strict=True)])
        return self.encode_views(views), self.encode_views(weak)

    def from_both(self, f: Tensor, g: Tensor, step: str = "stop", ensemble: str = "") -> Tensor:
        """[B, C]. step, ensemble: as in `adaptive_views.adaptive_logits`."""
        t0 = self.text_features().detach()
        l0 = self.view_logits(f, t0)
        u, b = suitability(f), stability(l0.softmax(-1), self.view_logits(g, t0).softmax(-1))
        chosen = self.choose(l0.detach())
        w = self.view_weights(u.gather(1, chosen), b.gather(1, chosen)).detach()
        if step == "none":
            l1 = l0
        elif step == "unroll":
            l1 = self.view_logits(f, self.encode_contexts(smooth_step(self, take(f, chosen), w)))
        else:
            with torch.no_grad():
                t1 = self.encode_contexts(self.tune_by(take(f, chosen).detach(), w))
            l1 = self.view_logits(f, t1)
        return l1.mean(dim=1) if ensemble == "mean" else weighted(self.view_weights(u, b), l1)

    def view_weights(self, u: Tensor, b: Tensor) -> Tensor:
        """w [B, n] of views with suitability u and stability b, both [B, n]."""
        cfg = self.cfg.TRAINER.SSTPT
        return ((cfg.SUITABLE * min_max(u) + cfg.STABLE * min_max(b)) / cfg.TEMP).softmax(dim=1)

    def tune_by(self, f: Tensor, w: Tensor) -> Tensor:
        """The contexts [B, M, width] after STEPS steps. f: [B, k, d], the chosen views; w: [B, k], their weights."""
        cfg = self.method_cfg()
        v = self.ctx0.expand(len(f), -1, -1)
        optimizer = PerImageAdamW(cfg.LR, cfg.WD)
        for _ in range(cfg.STEPS):
            v = optimizer.step(v, self.gradient_batched(f, v, w))
        return v

    def objective(self, logits: Tensor, t: Tensor, *more: Tensor) -> Tensor:
        """[B]: mean_i H(p_i) + CONSISTENCY mean_i KL(r_i || p_i). more: the weights w [B, k]."""
        (w,) = more
        return pointwise_entropy(logits) + self.cfg.TRAINER.SSTPT.CONSISTENCY * consistency(logits, w)

    def pixel_logits(self, x01: Tensor, seed: int | Sequence[int] = 0, **options: object) -> Tensor:
        """[B, C] for pictures [B, 3, h, w] in [0, 1], differentiable in them; options as of R-TPT's."""
        views = {"views": VIEWS} | {key: value for key, value in options.items() if key not in ("step", "ensemble")}
        how = {key: value for key, value in options.items() if key in ("step", "ensemble")}
        seeds = attack_seeds(len(x01), seed)
        with torch.enable_grad():
            return self.from_both(*self.both(differentiable_views(self.views, x01, seeds, **views), seeds), **how)


def suitability(f: Tensor) -> Tensor:
    """u [B, n] = 1 / (the mean of 2 - 2 f_i . f_j over the other views j), of unit features f [B, n, d]."""
    if f.shape[1] == 1:
        return torch.ones_like(f[..., 0])
    own = torch.eye(f.shape[1], dtype=torch.bool, device=f.device)
    distance = (2 - 2 * f @ f.mT).masked_fill(own, 0).sum(dim=-1) / (f.shape[1] - 1)
    return 1 / (distance + 1e-8)


def stability(p: Tensor, q: Tensor) -> Tensor:
    """b [B, n] = 1 / D, D = (KL(m || p) + KL(m || q)) / 2 with m = (p + q) / 2, of probabilities [B, n, C].

    This is not the Jensen-Shannon divergence, whose KLs have their arguments exchanged; it is the published code's.
    """
    p, q = p + 1e-8, q + 1e-8
    m = (p + q) / 2
    return 1 / ((m * (m.log() - (p.log() + q.log()) / 2)).sum(dim=-1) + 1e-8)


def min_max(x: Tensor) -> Tensor:
    """Each row of [B, n] scaled to [0, 1]; 0 where all its values are equal."""
    low, high = x.amin(dim=1, keepdim=True), x.amax(dim=1, keepdim=True)
    return (x - low) / (high - low).clamp_min(torch.finfo(x.dtype).tiny)


def consistency(logits: Tensor, w: Tensor) -> Tensor:
    """[B]: mean_i KL(r_i || p_i); r_i, the mean of the other views' p by w [B, k], counts as constant."""
    if w.shape[1] == 1:
        return torch.zeros_like(w[:, 0])
    log_p = logits.log_softmax(dim=-1)
    own = torch.eye(w.shape[1], dtype=torch.bool, device=w.device)
    others = w[:, None, :].expand(-1, w.shape[1], -1).masked_fill(own, 0)
    r = (others / others.sum(dim=-1, keepdim=True) @ log_p.exp()).detach()
    return (torch.xlogy(r, r) - r * log_p).sum(dim=-1).mean(dim=-1)
