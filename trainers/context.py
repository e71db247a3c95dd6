"""A context in front of the class name: its config keys, and its start from words such as "a photo of a" or noise."""

from __future__ import annotations

import logging

import torch
from torch import Tensor, nn
from yacs.config import CfgNode

from clipkit import ContextPrompts
from clipkit.tokenizer import tokenizer_of

logger = logging.getLogger(__name__)


SHAPE = ("N_CTX", "CSC", "CTX_INIT", "CLASS_TOKEN_POSITION")  # keys that determine the shape of the context


def context_defaults(node: str, prec: str = "fp16") -> dict[str, object]:
    """{dotted key: default} of a context under CoOp's names, below the config node of a method."""
    values = (16, False, "", "end", prec)
    return {f"{node}.{key}": value for key, value in zip((*SHAPE, "PREC"), values, strict=True)}


def context_architecture(node: str) -> tuple[str, ...]:
    """The dotted keys of `context_defaults` that shape the learner, and are saved in its checkpoint."""
    return tuple(f"{node}.{key}" for key in SHAPE)


def context_words(ctx_init: str) -> str:
    """The words of a `CTX_INIT` setting; "" for none (also for "False" and "None", which published scripts pass)."""
    words = str(ctx_init).replace("_", " ").strip()
    return "" if words in ("False", "None") else words


def words_and_length(cfg: CfgNode) -> tuple[str, int]:
    """The words of a method's `CTX_INIT`, and how many tokens are learned: one per word, or N_CTX without words."""
    words = context_words(cfg.CTX_INIT)
    return words, len(words.split()) if words else cfg.N_CTX


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
    count = tokenizer_of(clip).count(words)
    known = words if count >= n_ctx else ""
    if words and not known:
        text = "Warning: CTX_INIT %r has %d tokens and cannot start %d context tokens, which start at random"
        logger.warning(text, words, count, n_ctx)
    prompts = ContextPrompts(clip, classnames, n_ctx, ctx_text=known or None, template=template, position=position)
    if known:
        return prompts, prompts.init_context().float()
    return prompts, 0.02 * torch.randn(n_ctx, prompts.token_prefix.shape[-1])
