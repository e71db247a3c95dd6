"""A context of learned tokens before each of a few fixed words, and before the class name."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from clipkit import ContextPrompts
from clipkit.openai_clip import CLIP
from clipkit.tokenizer import tokenizer_of

ATTRIBUTES = 3  # contexts that exist, used or not


class AttributeContext(nn.Module):
    """Put before a host's context learner: `ctx_att1` .. `ctx_att3` [n_i, width] stand before the words, `ctx` before
    the name. Those without a word are saved and get no gradient.

    place: the position where `ctx` begins, for deep prompts that replace it alone.
    """

    words: list[str]
    place: int
    ctx: nn.Parameter

    def context(self, ctx: Tensor) -> Tensor:
        """[a_1][word_1] ... [ctx], of ctx [n, width] or with leading axes: [..., N, width]."""
        parts = []
        for i in range(1, len(self.words) + 1):
            parts += [self.get_parameter(f"ctx_att{i}"), self.get_buffer(f"word{i}")]
        return torch.cat([*(part.expand(*ctx.shape[:-2], -1, -1) for part in parts), ctx], dim=-2)


def with_attributes(
    learner: nn.Module, clip: CLIP, names: list[str], n: int, lengths: Sequence[int], words: list[str], one_token: bool
) -> None:
    """Makes a host's context learner one with attributes: n tokens before the name, lengths[i] before words[i].

    Learned tokens start from N(0, 0.02^2) before the name, from N(0, 0.01^2) before words. one_token: each word has one
    place, as if all words were single tokens. If a word has several tokens, later places hold the wrong tokens, and the
    remaining ones stand before the name (as in the published code).
    """
    tokenizer, width = tokenizer_of(clip), learner.ctx.shape[-1]
    filled = [" ".join([tokenizer.filler] * k) for k in (*lengths[: len(words)], n)]
    text = " ".join(x for pair in zip(filled, [*words, ""], strict=True) for x in pair).strip()
    sizes = [1 if one_token else tokenizer.count(word) for word in words]
    total = sum(lengths[: len(words)]) + sum(sizes) + n
    learner.prompts = ContextPrompts(clip, names, total, ctx_text=text)
    start, at = learner.prompts.init_context().float(), 0
    for i, size in enumerate(sizes, start=1):
        at += lengths[i - 1]
        learner.register_buffer(f"word{i}", start[at : at + size].clone(), persistent=False)
        at += size
    learner.ctx = nn.Parameter(0.02 * torch.randn(n, width))
    for i in range(1, ATTRIBUTES + 1):
        learner.register_parameter(f"ctx_att{i}", nn.Parameter(0.01 * torch.randn(lengths[i - 1], width)))
    kind = type(learner)
    learner.__class__ = type(kind.__name__, (AttributeContext, kind), {"__module__": kind.__module__})
    learner.words, learner.place = words, learner.prompts.token_prefix.shape[1] + at
