"""The text tower on a `SplitText`: the shared beginning runs once; the ends of all classes use its keys and values.

Exact because the tower is causal: what stands at position p depends on positions 0 .. p only, so a beginning that all
classes share has the same states, keys and values in each of them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .deep_prompts import Prompts
from .errors import InputError
from .openai_clip import ResidualAttentionBlock
from .ops import after_attention, attend, causal_rows_mask, heads_of, layer_norm
from .split_text import SplitText, TextGroup


def run_split(
    blocks: list[ResidualAttentionBlock],
    text: SplitText,
    start: int,
    end: int,
    replace: Prompts = None,
    insert: Prompts = None,
    weight: float = 1,
    at: int = 1,
) -> SplitText:
    """Blocks `start` .. `end` (1-based) on all tokens. prefix [G, P, D] and tokens [G * C_g, S, D] in and out.

    `replace` and `insert` as in `TextEncoder`: one [n, D] for all classes, or [C, n, D]. Overwritten tokens become
    `weight` * new + (1 - `weight`) * old (TCP). `at`: the position where the tokens of `replace` begin.
    """
    for b in range(start, end + 1):
        text = _edited(text, b, replace, insert, weight, at)
        block = blocks[b - 1]
        prefix, k, v = _prefix_block(block, text.prefix)
        groups = [TextGroup(g.rows, _end_block(block, g.tokens, k, v), g.eot) for g in text.groups]
        text = SplitText(prefix, groups)
    return text


def run_to_eot(
    blocks: list[ResidualAttentionBlock],
    text: SplitText,
    start: int,
    replace: Prompts = None,
    insert: Prompts = None,
    weight: float = 1,
    at: int = 1,
) -> list[Tensor]:
    """The blocks from `start` on, the last for the EOT rows only: [G * C_g, D] for each group. Else as `run_split`."""
    last = len(blocks)
    text = run_split(blocks, text, start, last - 1, replace, insert, weight, at)
    text = _edited(text, last, replace, insert, weight, at)
    k, v = _prefix_keys(blocks[-1], text.prefix)
    return [_eot_rows(blocks[-1], group, k, v) for group in text.groups]


# ---- edits between blocks


def _edited(text: SplitText, b: int, replace: Prompts, insert: Prompts, weight: float, at: int) -> SplitText:
    """`text` as it enters block `b`: with the prompts of that block."""
    if replace and b in replace:
        text = overwrite(text, replace[b], weight, at)
    if insert and b in insert:
        text = put_in(text, insert[b]) if b == min(insert) else overwrite(text, insert[b], weight)
    return text


def overwrite(text: SplitText, prompt: Tensor, weight: float = 1.0, at: int = 1) -> SplitText:
    """The n positions from `at` on become weight * prompt + (1 - weight) * old. A prompt [n, D] changes the shared
    beginning, if that has these positions; [C, n, D] changes the end of each class."""
    n = prompt.shape[-2]
    for group in text.groups:
        if text.prefix.shape[1] + group.tokens.shape[1] < at + n + 1:
            raise InputError(
                f"{n} prompt tokens cannot replace positions {at}..{at + n - 1} of a sequence of "
                f"{text.prefix.shape[1] + group.tokens.shape[1]} tokens: give fewer prompt tokens or a longer template"
            )
    if prompt.dim() == 2 and at + n <= text.prefix.shape[1]:
        new = _blend(_per_prefix(prompt, text.prefix), text.prefix[:, at : at + n], weight)
        parts = (text.prefix[:, :at], new, text.prefix[:, at + n :])
        return SplitText(torch.cat(parts, dim=1), text.groups)
    text = _give_up_prefix(text)
    groups = []
    for g in text.groups:
        new = _blend(_per_class(prompt, g, text), g.tokens[:, at - 1 : at - 1 + n], weight)
        parts = (g.tokens[:, : at - 1], new, g.tokens[:, at - 1 + n :])
        groups.append(TextGroup(g.rows, torch.cat(parts, dim=1), g.eot))
    return SplitText(text.prefix, groups)


def _blend(new: Tensor, old: Tensor, weight: float) -> Tensor:
    return new if weight == 1 else weight * new + (1 - weight) * old


def put_in(text: SplitText, prompt: Tensor) -> SplitText:
    """K tokens go in after position 0."""
    if prompt.dim() == 2:
        parts = (text.prefix[:, :1], _per_prefix(prompt, text.prefix), text.prefix[:, 1:])
        return SplitText(torch.cat(parts, dim=1), text.groups)
    text = _give_up_prefix(text)
    n = prompt.shape[-2]
    groups = [
        TextGroup(g.rows, torch.cat([_per_class(prompt, g, text), g.tokens], dim=1), g.eot + n) for g in text.groups
    ]
    return SplitText(text.prefix, groups)


def _per_prefix(prompt: Tensor, prefix: Tensor) -> Tensor:
    return prompt.to(prefix.dtype).expand(prefix.shape[0], -1, -1)


def _per_class(prompt: Tensor, group: TextGroup, text: SplitText) -> Tensor:
    """[n, D] or [C, n, D] -> [G * C_g, n, D] for the classes of a group."""
    sets = text.prefix.shape[0]
    own = prompt.to(group.tokens.dtype)
    own = own.expand(len(group.rows), -1, -1) if prompt.dim() == 2 else own[group.rows]
    return own.repeat(sets, 1, 1) if sets > 1 else own


def _give_up_prefix(text: SplitText) -> SplitText:
    """Only SOS stays shared; the rest of the beginning joins each class's end."""
    shared = text.prefix[:, 1:]
    groups = []
    for g in text.groups:
        own = shared.repeat_interleave(len(g.rows), dim=0)
        groups.append(TextGroup(g.rows, torch.cat([own, g.tokens], dim=1), g.eot + shared.shape[1]))
    return SplitText(text.prefix[:, :1], groups)


# ---- one block


def _prefix_keys(block: ResidualAttentionBlock, x: Tensor) -> tuple[Tensor, Tensor]:
    """Keys and values [G, heads, P, d] of the shared beginning."""
    k, v = heads_of(block.attn, layer_norm(block.ln_1, x), 1, 3)
    return k, v


def _prefix_block(block: ResidualAttentionBlock, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A whole block on the shared beginning: output [G, P, D], keys, values."""
    attn = block.attn
    h = layer_norm(block.ln_1, x)
    q, k, v = heads_of(attn, h)
    return after_attention(block, h, x + attend(attn, q, k, v, is_causal=True)), k, v


def _joined(shared: Tensor, own: Tensor) -> Tensor:
    """[G, heads, P, d] and [G * C, heads, S, d] -> [G * C, heads, P + S, d]."""
    sets, (n, h, _, d), length = shared.shape[0], own.shape, shared.shape[2]
    shared = shared[:, None].expand(sets, n // sets, h, length, d).reshape(n, h, length, d)
    return torch.cat([shared, own], dim=2)


def _end_block(block: ResidualAttentionBlock, x: Tensor, k_shared: Tensor, v_shared: Tensor) -> Tensor:
    """A whole block on the ends [N, S, D]; each token sees the shared beginning and its own end up to itself."""
    attn = block.attn
    h = layer_norm(block.ln_1, x)
    q, k, v = heads_of(attn, h)
    k, v = _joined(k_shared, k), _joined(v_shared, v)
    size, before = x.shape[1], k_shared.shape[2]
    mask = torch.ones(size, before + size, dtype=torch.bool, device=x.device).tril(before)
    return after_attention(block, h, x + attend(attn, q, k, v, attn_mask=mask))


def _eot_rows(block: ResidualAttentionBlock, group: TextGroup, k_shared: Tensor, v_shared: Tensor) -> Tensor:
    """The last block, for the EOT rows only: [G * C_g, D]."""
    attn, x = block.attn, group.tokens
    before = k_shared.shape[2]
    row = group.eot.repeat(len(x) // len(group.rows))
    each = torch.arange(len(x), device=x.device)
    h = layer_norm(block.ln_1, x)
    (q,) = heads_of(attn, h[each, row, None], 0, 1)
    k, v = heads_of(attn, h, 1, 3)
    mask = causal_rows_mask(row + before, before + x.shape[1])
    y = x[each, row, None] + attend(attn, q, _joined(k_shared, k), _joined(v_shared, v), attn_mask=mask)
    return after_attention(block, h[each, row, None], y)[:, 0]
