"""MTA: On the Test-Time Zero-Shot Generalization of Vision-Language Models: Do We Really Need Prompt Learning? (Zanella
and Ben Ayed, CVPR 2024)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from clipkit import normalize
from dassl.config.domains import NOT_NEGATIVE, POSITIVE
from dassl.engine import TRAINER_REGISTRY

from .tta.adaptive_views import attack_seeds, differentiable_views
from .tta.config import DEFAULTS, DOMAINS, TUNING
from .tta.trainer import TestTimeTrainer

M = "TRAINER.MTA."
ROUNDS, UPDATES, TOLERANCE = 5, 5, 1e-6


@TRAINER_REGISTRY.register()
class MTA(TestTimeTrainer):
    """Mean shift over the views' features, with an inlierness score for each view; the prompt is not tuned."""

    unread = TUNING
    config_defaults = {**DEFAULTS, M + "LAMBDA_Q": 4.0, M + "LAMBDA_Y": 0.2}
    config_domains = {**DOMAINS, M + "LAMBDA_Q": NOT_NEGATIVE, M + "LAMBDA_Y": POSITIVE}

    @classmethod
    def mixes(cls, dataset: str) -> bool:
        return False  # crops and flips alone, on every data set

    def from_features(self, f: Tensor) -> Tensor:
        t = self.text_features()
        p = self.view_logits(f, t).softmax(dim=-1)
        cfg = self.cfg.TRAINER.MTA
        mode = mean_shift(f, p @ p.mT, cfg.LAMBDA_Q, cfg.LAMBDA_Y)
        return self.view_logits(mode[:, None], t)[:, 0]

    def pixel_logits(self, x01: Tensor, seed: int | Sequence[int] = 0, views: int = 8) -> Tensor:
        """[B, C] for pictures [B, 3, h, w] in [0, 1], differentiable in them, through the mean shift."""
        with torch.enable_grad():
            made = differentiable_views(self.views, x01, attack_seeds(len(x01), seed), views)
            return self.from_features(self.encode_views(made))


def mean_shift(f: Tensor, affinity: Tensor, lambda_q: float, lambda_y: float) -> Tensor:
    """The mode m [B, d] of the views' features f [B, n, d]; affinity [B, n, n] of their predictions.

    y_i: inlierness; k_i(m) = exp(-|f_i - m|^2 / (2 h_i^2)), h_i^2 half the mean squared distance to the nearest 30 % of
    the other views. Rounds of y = softmax((k_i(m) + lambda_q (A y)_i) / lambda_y), then of m = the mean of the f_i by
    k_i y_i, normalised; each until it converges. An image that has converged keeps its value while others go on.
    """
    if f.shape[1] == 1:
        return f[:, 0]
    count = max(1, int(0.3 * (f.shape[1] - 1)))
    own = torch.eye(f.shape[1], dtype=torch.bool, device=f.device)
    distance = (2 - 2 * f @ f.mT).clamp_min(0).masked_fill(own, torch.inf)
    h2 = 0.5 * distance.topk(count, dim=-1, largest=False).values.mean(dim=-1)
    h2 = h2.clamp_min(torch.finfo(f.dtype).eps)  # h is 0 where all views are equal

    def kernel(mode: Tensor) -> Tensor:
        return torch.exp(-(f - mode[:, None]).square().sum(dim=-1) / (2 * h2))

    def settle(update, value: Tensor) -> Tensor:
        moving = torch.ones(len(f), 1, dtype=torch.bool, device=f.device)
        for _ in range(UPDATES):
            new = torch.where(moving, update(value), value)
            moving = moving & ((new - value).norm(dim=-1, keepdim=True) >= TOLERANCE)
            value = new
            if not moving.any():
                break
        return value

    y = torch.full(f.shape[:2], 1 / f.shape[1], dtype=f.dtype, device=f.device)
    mode = f[:, 0]
    for _ in range(ROUNDS):
        k = kernel(mode)
        y = settle(lambda y: ((k + lambda_q * (affinity @ y[..., None])[..., 0]) / lambda_y).softmax(dim=-1), y)  # noqa: B023
        mode = settle(lambda m: normalize(((kernel(m) * y)[..., None] * f).sum(dim=1)), mode)  # noqa: B023
    return mode
