"""A whole test-time method as a differentiable function of the picture, for adaptive attacks.

It consists of differentiable views (BPDA where an operation has no gradient, see `augmix_tensor`), a hard selection of
views with the gradient through the selected ones, the tuning step, and the weights of the views. An attack averages
over draws (EOT): each seed gives other views, never the defender's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from clipkit import InputError
from dassl.utils import stream_seed

from .augmix import draw_views
from .augmix_tensor import tensor_views
from .view_ensemble import take

if TYPE_CHECKING:
    from .views import ViewMaker

STEPS = ("stop", "unroll", "none")
VIEWS = 8


class Tuned(Protocol):
    """The parts of a method that tunes its prompt (a `TestTimeTrainer` with TPT's steps) that adaptive attacks use."""

    ctx0: Tensor  # [M, width]: the context that tuning starts from
    views: Any  # a ViewMaker

    def method_cfg(self) -> Any: ...
    def text_features(self) -> Tensor: ...
    def encode_views(self, views: Tensor) -> Tensor: ...
    def encode_contexts(self, ctx: Tensor) -> Tensor: ...
    def view_logits(self, f: Tensor, t: Tensor) -> Tensor: ...
    def choose(self, logits: Tensor) -> Tensor: ...
    def tune(self, f: Tensor) -> Tensor: ...
    def objective(self, logits: Tensor, t: Tensor, *more: Tensor) -> Tensor: ...
    def ensemble(self, f: Tensor, logits: Tensor, chosen: Tensor, how: str = "") -> Tensor: ...


def differentiable_views(
    maker: ViewMaker, x01: Tensor, seeds: Sequence[int], views: int, augmix: bool | None = None
) -> Tensor:
    """[B, n, 3, h, w] in [0, 1] of pictures x01 [B, 3, h, w]: the plain one first. maker: the method's `ViewMaker`;
    augmix: instead of the maker's."""
    mixed = maker.augmix if augmix is None else augmix
    found = []
    for x, seed in zip(x01, seeds, strict=True):
        drawn = draw_views(seed, views - 1, x.shape[1:], maker.size, mixed, maker.scale, maker.flip)
        found.append(torch.cat([x[None], tensor_views(x * 255, drawn, maker.size)]))
    return torch.stack(found)


def attack_seeds(count: int, seed: int | Sequence[int]) -> list[int]:
    """A seed for each picture: as given, or from one seed and the picture's place."""
    if isinstance(seed, int):
        return [stream_seed("adaptive", seed, i) for i in range(count)]
    return list(seed)


@torch.enable_grad()
def adaptive_logits(
    trainer: Tuned,
    x01: Tensor,
    seed: int | Sequence[int] = 0,
    views: int = VIEWS,
    step: str = "stop",
    ensemble: str = "",
    augmix: bool | None = None,
) -> Tensor:
    """Logits [B, C] of a tuned method for pictures x01 [B, 3, h, w] in [0, 1], differentiable in them.

    seed: of the draw, or one for each picture; with the defence's seeds and number of views, the views are the same.
    views: of each picture, the plain one included; fewer than the defence has make an attack step cheaper.
    step: `stop` tunes as the defence does and takes the tuned prompt as constant; `unroll` goes through the step too,
    with the smooth sign g / (|g| + median |g|) in place of AdamW's; `none` leaves the prompt untuned.
    ensemble: instead of the method's own ("mean" ignores the weights of the views).
    """
    if step not in STEPS:
        raise InputError(f"The step of an adaptive attack is {step!r}, but must be one of {', '.join(STEPS)}.")
    f = trainer.encode_views(differentiable_views(trainer.views, x01, attack_seeds(len(x01), seed), views, augmix))
    t0 = trainer.text_features().detach()
    l0 = trainer.view_logits(f, t0)
    chosen = trainer.choose(l0.detach())
    if step == "none":
        return trainer.ensemble(f, l0, chosen, ensemble)
    selected = take(f, chosen)
    if step == "stop":
        with torch.no_grad():
            t1 = trainer.encode_contexts(trainer.tune(selected.detach()))
    else:
        t1 = trainer.encode_contexts(smooth_step(trainer, selected))
    return trainer.ensemble(f, trainer.view_logits(f, t1), chosen, ensemble)


def smooth_step(trainer: Tuned, f: Tensor, *more: Tensor) -> Tensor:
    """v1 [B, M, width], a smooth function of the selected views' features f [B, k, d]. more: passed to the objective.

    dloss/dv is linear in dloss/dt, since t's Jacobian at v0 is fixed; the graph of that product is kept.
    """
    cfg = trainer.method_cfg()
    v0 = trainer.ctx0.detach().expand(len(f), -1, -1).clone().requires_grad_()
    with sdpa_kernel(SDPBackend.MATH):  # the other kernels have no second derivative
        t = trainer.encode_contexts(v0)
        loss = trainer.objective(trainer.view_logits(f, t), t, *more).sum()
        g = torch.autograd.grad(loss, v0, create_graph=True)[0]
    tau = g.detach().abs().flatten(1).median(dim=1).values[:, None, None]
    return v0.detach() * (1 - cfg.LR * cfg.WD) - cfg.LR * g / (g.abs() + tau + 1e-20)
