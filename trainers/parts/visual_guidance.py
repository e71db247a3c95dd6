"""The image's part of a context: attention of prompt tokens to visual tokens, modulated by the image's feature.

The attention's direction ("reverse": prompt tokens are queries, visual tokens are keys and values), a conditional
modulation of its strength, and the settings' names and values are the authors'. The layers, the FiLM form and the gate
are this project's design.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from yacs.config import CfgNode

from clipkit import ContextPrompts, InputError
from clipkit.attention import scaled_dot_product_attention

from .visual_tokens import FeatureTokens, with_quarters


class Modulation(nn.Module):
    """From f [B, d]: FiLM's gamma and beta [B, 1, d_t] (or None) and the gate's logit g [B, gates, 1] (or None).

    u = ReLU(LN(f) W_1), [gamma, beta, g] = u W_2 + b; W_2 and b start at 0.
    """

    def __init__(self, d: int, d_t: int, film: bool, gates: int) -> None:
        super().__init__()
        self.sizes = [d_t if film else 0, d_t if film else 0, gates]
        hidden = max(1, d // 16)
        self.norm = nn.LayerNorm(d)
        self.linear1 = nn.Linear(d, hidden, bias=False)
        self.linear2 = nn.Linear(hidden, sum(self.sizes))
        nn.init.zeros_(self.linear2.weight)
        nn.init.zeros_(self.linear2.bias)

    def forward(self, f: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        out = self.linear2(F.relu(self.linear1(self.norm(f))))
        gamma, beta, g = out.split(self.sizes, dim=1)
        film = (gamma[:, None], beta[:, None]) if self.sizes[0] else (None, None)
        return (*film, g[..., None] if self.sizes[2] else None)


class VisualGuidance(nn.Module):
    """Delta [B, L, d_t] before its dropout, from the context [L, d_t], visual tokens [B, M, d_v] and f [B, d].

    settings: the method's config node. W_o and the modulation's last layer start at 0, so Delta starts at exactly 0.
    W_v starts 1 / sqrt(h) smaller than linear layers do: at equal learning rates, a step of W_o changes Delta |V|^2
    times as much as a step of the context changes the context, and with the usual size of V (|V|^2 near h / 3) training
    diverges.
    """

    def __init__(self, n_ctx: int, d_t: int, d_v: int, d: int, settings: CfgNode) -> None:
        super().__init__()
        h, self.heads = settings.VISUAL_HIDDEN_DIM, settings.ATTENTION_HEADS
        if h < 1 or self.heads < 1 or h % self.heads:
            raise InputError(
                f"TRAINER.VISPROMPT.VISUAL_HIDDEN_DIM is {h}, but must be a multiple of ATTENTION_HEADS, {self.heads}."
            )
        self.weight, self.threshold = settings.VISUAL_WEIGHT, settings.RELIABILITY_THRESHOLD
        self.hard = settings.GATE == "thresh"
        self.norm_ctx, self.norm_visual = nn.LayerNorm(d_t), nn.LayerNorm(d_v)
        self.w_q = nn.Linear(d_t, h, bias=False)
        self.w_k, self.w_v = nn.Linear(d_v, h, bias=False), nn.Linear(d_v, h, bias=False)
        with torch.no_grad():
            self.w_v.weight /= h**0.5
        self.w_o = nn.Linear(h, d_t)
        nn.init.zeros_(self.w_o.weight)
        nn.init.zeros_(self.w_o.bias)
        gates = {"scalar": 1, "thresh": 1, "token": n_ctx, "none": 0}[settings.GATE]
        self.modulation = Modulation(d, d_t, settings.FILM, gates) if settings.FILM or gates else None

    def forward(self, ctx: Tensor, x: Tensor, f: Tensor) -> Tensor:
        """s O' with O' = (1 + gamma) O + beta, s = VISUAL_WEIGHT sigmoid(g)."""
        o = self.attend(ctx, x)
        gamma, beta, g = (None, None, None) if self.modulation is None else self.modulation(f)
        if gamma is not None:
            o = (1 + gamma) * o + beta
        return self.weight * o if g is None else self.weight * self.gate(g) * o

    def attend(self, ctx: Tensor, x: Tensor) -> Tensor:
        """O = MHA(LN(ctx) W_q, LN(x) W_k, LN(x) W_v) W_o: [B, L, d_t]."""
        x = self.norm_visual(x)
        q, k, v = (
            t.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for t in (self.w_q(self.norm_ctx(ctx))[None], self.w_k(x), self.w_v(x))
        )
        o = scaled_dot_product_attention(q.expand(len(x), -1, -1, -1), k, v)
        return self.w_o(o.transpose(1, 2).flatten(2))

    def gate(self, g: Tensor) -> Tensor:
        """sigmoid(g); GATE thresh: 0 below the threshold, with the gradient of the sigmoid everywhere."""
        soft = g.sigmoid()
        if not self.hard:
            return soft
        kept = soft.detach() * (soft >= self.threshold)
        return kept + (soft - soft.detach())


def dropout_mask(shape: tuple[int, ...], p: float, seed: int, device: torch.device) -> Tensor | None:
    """A mask of 0 with probability p, else 1 / (1 - p); None for p 0. Drawn on the CPU: the same on all devices."""
    if p == 0:
        return None
    drawn = torch.rand(shape, generator=torch.Generator().manual_seed(seed))
    return ((drawn >= p) / (1 - p)).to(device)


class PromptLearner(nn.Module):
    """`ctx` [L, d_t], and with USE_VISUAL_GUIDANCE the layers that turn it into one context per image.

    d: width of an image's feature; its patches live in the same space. settings: the method's config node.
    """

    def __init__(self, ctx: Tensor, prompts: ContextPrompts, d: int, settings: CfgNode) -> None:
        super().__init__()
        self.ctx, self.prompts = nn.Parameter(ctx), prompts
        self.tokens = self.guidance = None
        if not settings.USE_VISUAL_GUIDANCE:
            return
        d_v, self.multi_scale = d, settings.USE_MULTI_SCALE
        if settings.VIS_SOURCE == "global":
            d_v = settings.VISUAL_HIDDEN_DIM
            self.tokens = FeatureTokens(d, settings.PROMPT_POOL_SIZE, d_v, self.multi_scale)
        self.guidance = VisualGuidance(*ctx.shape, d_v, d, settings)

    def forward(self, f: Tensor, patches: Tensor | None, keep: Tensor | None = None) -> Tensor:
        """Delta [B, L, d_t] of B images, in fp32: ctx_b = ctx + Delta_b.

        f: [B, d], normalised. patches: [B, 1 + G, d], from `patch_tokens`; None with VIS_SOURCE global.
        keep: dropout's mask [B, L, d_t], 0 or 1 / (1 - p); None: nothing is dropped.
        """
        with torch.autocast(f.device.type, enabled=False):
            if self.tokens is not None:
                x = self.tokens(f)
            else:
                x = with_quarters(patches.float()) if self.multi_scale else patches.float()
            delta = self.guidance(self.ctx, x, f)
            return delta if keep is None else keep * delta
