"""TTC: CLIP is Strong Enough to Fight Back: Test-time Counterattacks towards Zero-shot Adversarial Robustness of CLIP
(Xing et al., CVPR 2025)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from clipkit import ImageEncoder, load_backbone, normalize
from dassl.config.domains import NOT_NEGATIVE, choice, number, whole
from dassl.engine import TRAINER_REGISTRY
from dassl.utils import stream_seed

from .tta.adaptive_views import attack_seeds
from .tta.config import DEFAULTS, DOMAINS, TUNING, VIEWS
from .tta.trainer import TestTimeTrainer

T = "TRAINER.TTC."


@TRAINER_REGISTRY.register()
class TTC(TestTimeTrainer):
    """Counterattacks attacked pictures: perturbs each so that its feature moves away from where the attack has put it.

    delta starts at U(-EPS, EPS) / 255. tau, the relative change of the feature that this start makes, is small for
    attacked pictures only: below TAU, STEPS ascents on |e(x + delta) - e(x)|^2 follow, and delta becomes the mean of
    the STEPS + 1 iterates j with weights exp(BETA j); otherwise the random start stays. e is not normalised.

    Where the image tower is a fine-tuned one (MODEL.BACKBONE.VISUAL_WEIGHTS), tau is measured with CLIP's original one,
    as in the published code: a robust tower hardly moves under noise, on clean pictures neither.
    """

    unread = (*TUNING, *VIEWS)
    config_defaults = {
        **DEFAULTS,
        T + "EPS": 4.0,  # in 1/255
        T + "STEPS": 2,
        T + "STEP_SIZE": 1.0,  # in 1/255
        T + "TAU": 0.2,
        T + "BETA": 2.0,
        T + "TAU_TOWER": "original",  # original: of the backbone without VISUAL_WEIGHTS | own
    }

    config_domains = {
        **DOMAINS,
        T + "EPS": number(0, 255),
        T + "STEPS": whole(0),
        T + "STEP_SIZE": number(0, 255),
        T + "TAU": NOT_NEGATIVE,
        T + "BETA": number(),
        T + "TAU_TOWER": choice("original", "own"),
    }

    def build_learner(self) -> None:
        super().build_learner()
        backbone = self.cfg.MODEL.BACKBONE
        self.original: ImageEncoder | None = None
        if backbone.get("VISUAL_WEIGHTS", "") and self.cfg.TRAINER.TTC.TAU_TOWER == "original":
            plain = {key: backbone.get(key, "") for key in ("NAME", "PATH")}
            self.original = ImageEncoder(load_backbone(plain, self.precision, self.device))

    def n_views(self) -> int:
        return 1

    @classmethod
    def mixes(cls, dataset: str) -> bool:
        return False  # no random views are used

    def respond(self, views: Tensor, seeds: list[int]) -> tuple[Tensor, Tensor]:
        x = views[:, 0]
        t, e = self.text_features(), self.raw_features(x)
        moved = self.raw_features(x + self.counterattack(x, e, seeds))
        before, after = (self.view_logits(normalize(y)[:, None], t)[:, 0] for y in (e, moved))
        return before, after

    def counterattack(self, x: Tensor, e: Tensor, seeds: list[int]) -> Tensor:
        """delta [B, 3, h, w] for pictures x in [0, 1] with features e [B, d]; x + delta stays in [0, 1]."""
        cfg = self.cfg.TRAINER.TTC
        eps = cfg.EPS / 255
        draws = [np.random.default_rng(stream_seed(seed, "ttc")) for seed in seeds]
        noise = np.stack([generator.random(x.shape[1:], dtype=np.float32) for generator in draws])
        start = (2 * torch.from_numpy(noise).to(x) - 1) * eps
        iterates = [(x + start).clamp(0, 1) - x]
        tau = self.relative_change(x, x + iterates[0], e)
        for _ in range(cfg.STEPS):
            step = cfg.STEP_SIZE / 255 * self.ascent(x, iterates[-1], e).sign()
            iterates.append((x + (iterates[-1] + step).clamp(-eps, eps)).clamp(0, 1) - x)
        weights = (cfg.BETA * torch.arange(len(iterates), dtype=x.dtype, device=x.device)).softmax(dim=0)
        mean = torch.einsum("j,jbchw->bchw", weights, torch.stack(iterates))
        return torch.where((tau < cfg.TAU)[:, None, None, None], mean, iterates[0])

    @torch.no_grad()
    def relative_change(self, x: Tensor, moved: Tensor, e: Tensor) -> Tensor:
        """tau [B] = |e(moved) - e(x)| / |e(x)|. e: this run's features [B, d] of x."""
        if self.original is None:
            return (self.raw_features(moved) - e).norm(dim=1) / e.norm(dim=1)
        before, after = (self.raw_features(pixels, self.original) for pixels in (x, moved))
        return (after - before).norm(dim=1) / before.norm(dim=1)

    def pixel_logits(self, x01: Tensor, seed: int | Sequence[int] = 0) -> Tensor:
        """[B, C] for pictures [B, 3, h, w] in [0, 1], differentiable in them; delta counts as constant."""
        with torch.no_grad():
            delta = self.counterattack(x01, self.raw_features(x01), attack_seeds(len(x01), seed))
        moved = normalize(self.raw_features(x01 + delta))
        return self.view_logits(moved[:, None], self.text_features())[:, 0]

    @torch.enable_grad()
    def ascent(self, x: Tensor, delta: Tensor, e: Tensor) -> Tensor:
        """The gradient of |e(x + delta) - e(x)|^2 to delta."""
        delta = delta.detach().requires_grad_()
        return torch.autograd.grad((self.raw_features(x.detach() + delta) - e.detach()).square().sum(), delta)[0]
