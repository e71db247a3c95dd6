"""Starting a context: from words such as "a photo of a", or from noise."""

from __future__ import annotations

import logging

import torch
from torch import Tensor, nn

from clipkit import ContextPrompts
from clipkit.tokens import token_count

logger = logging.getLogger(__name__)


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
    without words from N(0, 0.02^2), and also, with a warning, where they have fewer tokens than that.
    """
    known = words if token_count(words) >= n_ctx else ""
    if words and not known:
        text = "Warning: CTX_INIT %r has %d tokens and cannot start %d context tokens, which start at random"
        logger.warning(text, words, token_count(words), n_ctx)
    prompts = ContextPrompts(clip, classnames, n_ctx, ctx_text=known or None, template=template, position=position)
    if known:
        return prompts, prompts.init_context().float()
    return prompts, 0.02 * torch.randn(n_ctx, prompts.token_prefix.shape[-1])
