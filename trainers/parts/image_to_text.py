"""FAP's prompts: MaPLe's with the coupling reversed, so deep text prompts are computed from deep image prompts."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from clipkit import ContextPrompts
from dassl.config.domains import choice, whole

from ..shared.domains import declare

N = "TRAINER.FAP."
DEFAULTS = {
    N + "N_CTX": 2,
    N + "PREC": "fp16",
    N + "PROMPT_DEPTH": 9,
    N + "CTX_TEMPLATE": "plain",  # plain: "a photo of a" | fap: the data set's template with its "{}", as published
}
DOMAINS = declare(DEFAULTS, {"PROMPT_DEPTH": whole(1), "CTX_TEMPLATE": choice("plain", "fap")})


class PromptLearner(nn.Module):
    """ctx [n, D_t] and proj: block 1, from text to image; compound_prompts_image[i] [n, D_v] and
    compound_prompt_projections[i] (D_v to D_t, copies of one at first): block i + 2, from image to text."""

    place: int | None = None  # the position where deep prompts begin; None: where the context does

    def __init__(self, ctx: Tensor, prompts: ContextPrompts, visual_width: int, depth: int) -> None:
        super().__init__()
        n, width = ctx.shape
        self.prompts = prompts
        self.ctx = nn.Parameter(ctx)
        self.proj = nn.Linear(width, visual_width)
        deeper = [nn.Parameter(0.02 * torch.randn(n, visual_width)) for _ in range(depth - 1)]
        self.compound_prompts_image = nn.ParameterList(deeper)
        first = nn.Linear(visual_width, width)
        self.compound_prompt_projections = nn.ModuleList(copy.deepcopy(first) for _ in deeper)

    def context(self, ctx: Tensor) -> Tensor:
        """The tokens at the context's place in the prompts, from ctx [n, D_t]. Here: ctx itself."""
        return ctx

    def text_prompts(self) -> dict[int, Tensor]:
        """{block: F_i(P_i) [n, D_t]} for the blocks 2 .. J."""
        pairs = zip(self.compound_prompt_projections, self.compound_prompts_image, strict=True)
        return {block: f(p) for block, (f, p) in enumerate(pairs, start=2)}

    def visual_prompts(self) -> dict[int, Tensor]:
        """{block: P_i [n, D_v]} for the blocks 1 .. J."""
        return {1: self.proj(self.ctx)} | dict(enumerate(self.compound_prompts_image, start=2))
