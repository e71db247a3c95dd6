"""TPT: Test-Time Prompt Tuning for Zero-Shot Generalization in Vision-Language Models (Shu et al., NeurIPS 2022)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from clipkit import normalize
from dassl.engine import TRAINER_REGISTRY

from .shared.precision import autocast
from .tta.adaptive_views import adaptive_logits
from .tta.per_image_adamw import PerImageAdamW
from .tta.trainer import TestTimeTrainer
from .tta.view_ensemble import LOSSES, confident, reliability, take, weighted
from .tta.views import full

Objective = Callable[..., Tensor]  # (logits [B, k, C], text features [B, C, d], ...) -> [B]


@TRAINER_REGISTRY.register()
class TPT(TestTimeTrainer):
    """One step on the entropy of the confident views' mean prediction; then the tuned prompt classifies the plain view.

    GRAD_PATH says how the gradient of the loss to the context is computed; all give the same result:
        batched   B contexts, B * C prompts, forward and backward
        vjp       dloss/dt at v0 first, then one product with the Jacobian of t at v0, whose graph all images share
        jacobian  the same with that Jacobian stored, [C * d, M * width]: pays off after about d images
        loop      image by image
    `vjp` and `jacobian` apply to the first step, which starts at v0; further steps are `batched`, or with `loop` image
    by image.
    """

    own = {"LOSS": "marginal", "ENSEMBLE": "none"}
    tunes = tunes_context = True

    def from_features(self, f: Tensor) -> Tensor:
        l0 = self.view_logits(f, self.text_features())  # [B, n, C]
        chosen = self.choose(l0)  # S: [B, k]
        v1 = self.tune(take(f, chosen))  # [B, M, width]
        l1 = torch.cat([self.view_logits(g, self.encode_contexts(v)) for g, v in self.passes(f, v1)])
        return self.ensemble(f, l1, chosen)

    def choose(self, logits: Tensor) -> Tensor:
        """[B, k]: the confident views, from their untuned logits [B, n, C]."""
        return confident(logits, self.method_cfg().SELECTION_P)

    def ensemble(self, f: Tensor, logits: Tensor, chosen: Tensor, how: str = "") -> Tensor:
        """[B, C] from the tuned logits [B, n, C] of the views, features [B, n, d], chosen views [B, k].

        how: instead of the config's.
        """
        how, cfg = how or self.choice("ENSEMBLE"), self.method_cfg()
        if how == "none":
            return logits[:, 0]
        if how == "mean":
            return logits.mean(dim=1)
        if how == "selected_mean":
            return take(logits, chosen).mean(dim=1)
        w = reliability(f, cfg.ENS_TOPK, cfg.ENS_TEMP, cfg.ENS_SELF_MASK)
        broken = ~w.isfinite().all(dim=1)
        w = torch.where(broken[:, None], torch.full_like(w, 1 / w.shape[1]), w)
        self.count("uniform_weights", broken)
        return weighted(w, logits)

    def pixel_logits(self, x01: Tensor, seed: int | Sequence[int] = 0, **options: object) -> Tensor:
        """[B, C] for pictures [B, 3, h, w] in [0, 1], differentiable in them; see `adaptive_views.adaptive_logits`."""
        return adaptive_logits(self, x01, seed, **options)

    # ------------------------------------------------------------------ tuning

    def objective(self, logits: Tensor, t: Tensor, *more: Tensor) -> Tensor:
        """[B]: the loss of the confident views' logits [B, k, C]; t: the text features [B, C, d].

        more: what else a method gives to `gradient_batched`, a row for each image.
        """
        return LOSSES[self.choice("LOSS")](logits)

    def tune(self, f: Tensor) -> Tensor:
        """The contexts [B, M, width] after STEPS steps from v0; f: [B, k, d], the confident views."""
        cfg = self.method_cfg()
        v = self.ctx0.expand(len(f), -1, -1)
        optimizer = PerImageAdamW(cfg.LR, cfg.WD)
        for step in range(cfg.STEPS):
            path = cfg.GRAD_PATH if step == 0 or cfg.GRAD_PATH == "loop" else "batched"
            v = optimizer.step(v, getattr(self, f"gradient_{path}")(f, v))
        return v

    def passes(self, *values: Tensor) -> list[tuple[Tensor, ...]]:
        """The images' tensors in parts, each of at most `prompts_per_pass` prompts (but at least one image)."""
        size = max(1, self.prompts_per_pass // len(self.classnames))
        return list(zip(*(value.split(size) for value in values), strict=True))

    @torch.enable_grad()
    def gradient_batched(self, f: Tensor, v: Tensor, *more: Tensor, loss: Objective | None = None) -> Tensor:
        """dloss/dv [B, M, width]. loss: in place of `objective`; more: its further arguments."""
        return torch.cat([self._gradient(*part, loss=loss) for part in self.passes(f, v, *more)])

    @torch.enable_grad()
    def gradient_loop(self, f: Tensor, v: Tensor) -> Tensor:
        return torch.cat([self._gradient(f[i : i + 1], v[i : i + 1]) for i in range(len(f))])

    def _gradient(self, f: Tensor, v: Tensor, *more: Tensor, loss: Objective | None = None) -> Tensor:
        v = v.detach().requires_grad_()
        t = self.encode_contexts(v)
        scale = 1000.0 if self.precision == "amp" else 1.0  # keeps small gradients from vanishing in fp16
        value = (loss or self.objective)(
            self.view_logits(f, t), t, *more
        ).sum()  # a sum: each image has its own gradient
        return torch.autograd.grad(scale * value, v)[0] / scale

    @torch.enable_grad()
    def gradient_vjp(self, f: Tensor, v: Tensor) -> Tensor:
        v0, t0 = self.once("graph at v0", self._graph)
        return torch.stack([torch.autograd.grad(t0, v0, g, retain_graph=True)[0] for g in self.text_gradient(f, t0)])

    @torch.enable_grad()
    def gradient_jacobian(self, f: Tensor, v: Tensor) -> Tensor:
        jacobian = self.once("jacobian at v0", self._jacobian)
        return (self.text_gradient(f, self.text_features()).flatten(1) @ jacobian).view(len(f), *self.ctx0.shape)

    def text_gradient(self, f: Tensor, t0: Tensor, create_graph: bool = False) -> Tensor:
        """dloss/dt [B, C, d] at t0 [C, d]."""
        t = t0.detach().expand(len(f), -1, -1).requires_grad_()
        return torch.autograd.grad(self.objective(self.view_logits(f, t), t).sum(), t, create_graph=create_graph)[0]

    def _graph(self) -> tuple[Tensor, Tensor]:
        v0 = self.ctx0.detach().clone().requires_grad_()
        return v0, self.encode_contexts(v0[None])[0]

    def _jacobian(self) -> Tensor:
        """dt/dv at v0, [C * d, M * width]: class c sees its own copy of the context, so that one backward pass gives a
        row of every class."""
        with autocast(self.precision, self.device):
            v = self.ctx0.detach().expand(len(self.classnames), -1, -1).clone().requires_grad_()
            t = self.text_encoder.encode(self.prompts.split(v))
        t = normalize(full(t))
        rows = [torch.autograd.grad(t[:, j].sum(), v, retain_graph=True)[0] for j in range(t.shape[1])]
        return torch.stack(rows, dim=1).flatten(2).flatten(0, 1)
