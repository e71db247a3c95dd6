"""Prompts that enter between transformer blocks, as edits of the token tensor [N, L, D].

Two families (`replace`: VPT, IVLP, MaPLe, PromptSRC, TCP; `insert`: MMRL, ANPrompt) come down to four edits. Blocks
are counted 1 .. depth; "before block b" is the tensor that enters block b.
"""

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor

from .errors import InputError

Edit = Callable[[Tensor], Tensor]
Prompts = Mapping[int, Tensor] | None


def insert_front(tokens: Tensor, x: Tensor, first: int = 1) -> Tensor:
    """K tokens go in at position `first`, by default after position 0 (SOS or CLS): [N, L, D] -> [N, L + K, D]."""
    return torch.cat([x[:, :first], _expand(tokens, x), x[:, first:]], dim=1)


def overwrite_front(tokens: Tensor, x: Tensor, first: int = 1, weight: float = 1.0) -> Tensor:
    """Positions `first` .. `first` + K - 1 become weight * tokens + (1 - weight) * what they were."""
    count = tokens.shape[-2]
    if x.shape[1] < count + first + 1:
        raise InputError(
            f"{count} prompt tokens cannot replace positions {first}..{first + count - 1} of a sequence of "
            f"{x.shape[1]} tokens: give fewer prompt tokens or a longer template"
        )
    new = _expand(tokens, x)
    if weight != 1:
        new = weight * new + (1 - weight) * x[:, first : first + count]
    return torch.cat([x[:, :first], new, x[:, first + count :]], dim=1)


def append_end(tokens: Tensor, x: Tensor) -> Tensor:
    """n tokens are appended: [N, L, D] -> [N, L + n, D]."""
    return torch.cat([x, _expand(tokens, x)], dim=1)


def overwrite_end(tokens: Tensor, x: Tensor) -> Tensor:
    """The last n tokens are overwritten."""
    return torch.cat([x[:, : -tokens.shape[-2]], _expand(tokens, x)], dim=1)


def _expand(tokens: Tensor, x: Tensor) -> Tensor:
    """[n, D] or [N, n, D] -> [N, n, D] in the type of x."""
    if tokens.dim() == 2:
        tokens = tokens.expand(x.shape[0], -1, -1)
    return tokens.to(x.dtype)


def edits(
    prompts: Prompts,
    first: Callable[[Tensor, Tensor], Tensor],
    later: Callable[[Tensor, Tensor], Tensor],
    *,
    start: int,
    depth: int,
    width: int,
    tower: str,
) -> dict[int, Edit]:
    """`first` before the smallest block of `prompts`, `later` before the others, after checking blocks and widths."""
    check(prompts, start=start, depth=depth, width=width, tower=tower, same_count=first is not later)
    if not prompts:
        return {}
    start = min(prompts)
    return {b: partial(first if b == start else later, prompts[b]) for b in sorted(prompts)}


def check(prompts: Prompts, *, start: int, depth: int, width: int, tower: str, same_count: bool) -> None:
    """InputError unless all prompts are [n, width] or [N, n, width] tensors for blocks `start` .. `depth`.

    `tower` ("text" or "image") names the encoder in messages; `same_count`: all blocks must get equally many tokens.
    """
    if not prompts:
        return
    blocks = sorted(prompts)
    if blocks[-1] > depth:
        raise InputError(
            f"Prompts are asked for before block {blocks[-1]}, but the {tower} encoder of this backbone has "
            f"{depth} blocks: lower the prompt depth to {depth} or less"
        )
    if blocks[0] < start:
        raise InputError(f"Prompts are asked for before block {blocks[0]}, but the {tower} encoder starts at {start}")
    for b in blocks:
        shape = tuple(prompts[b].shape)
        if len(shape) not in (2, 3) or shape[-1] != width or shape[-2] == 0:
            raise InputError(
                f"Prompt tokens before block {b} of the {tower} encoder must be [n, {width}] or [N, n, {width}], "
                f"not {list(shape)}"
            )
    counts = {prompts[b].shape[-2] for b in blocks}
    if same_count and len(counts) > 1:
        raise InputError(f"All blocks of the {tower} encoder must get equally many prompt tokens, not {sorted(counts)}")


def count(prompts: Prompts) -> int:
    """Number of tokens that a checked `insert` (or a ViT's `replace`) adds to the sequence."""
    return next(iter(prompts.values())).shape[-2] if prompts else 0


def refuse_both(replace: Prompts, insert: Prompts) -> None:
    """InputError if both are given."""
    if replace and insert:
        raise InputError("Give either `replace` or `insert` prompts to an encoder, not both")
