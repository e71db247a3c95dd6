"""Starting a context: from words such as "a photo of a", or from noise."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from clipkit import ContextPrompts


def context_words(ctx_init: str) -> str:
    """The words of a `CTX_INIT` setting; "" for none (also where a script says False or None)."""
    words = str(ctx_init).replace("_", " ").strip()
    return "" if words in ("False", "None") else words


def start_context(
    clip: nn.Module,
    classnames: list[str],
    n_ctx: int,
    words: str,
    template: str = "{ctx} {name}.",
    position: str = "end",
) -> tuple[ContextPrompts, Tensor]:
    """The prompts, and the initial context [n_ctx, width] in fp32.

    The context starts from the first `n_ctx` tokens of `words` (further ones stay fixed in the prompt, as in MaPLe);
    without words, or with fewer than that, from N(0, 0.02^2).
    """
    known = words if len(words.split()) >= n_ctx else ""
    prompts = ContextPrompts(clip, classnames, n_ctx, ctx_text=known or None, template=template, position=position)
    if known:
        return prompts, prompts.init_context().float()
    return prompts, 0.02 * torch.randn(n_ctx, prompts.token_prefix.shape[-1])
