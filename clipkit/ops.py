"""The blocks of CLIP's transformers, run batch-first on the weights of the stock modules.

Every function takes a `clip.model.ResidualAttentionBlock` and a token tensor [N, L, D] and equals that block's own
forward (which wants [L, N, D]) to rounding. Attention goes through `scaled_dot_product_attention`, so the causal mask
of the text tower is never built; where a second derivative is asked for, it is the plain form (attention.py).
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import scaled_dot_product_attention
from .changed_blocks import Added
from .openai_clip import ResidualAttentionBlock


def normalize(x: Tensor) -> Tensor:
    """x divided by its L2 norm over the last axis."""
    return x / x.norm(dim=-1, keepdim=True)


def layer_norm(norm: nn.LayerNorm, x: Tensor) -> Tensor:
    """CLIP's LayerNorm: computed in the precision of its weights (fp32 also in an fp16 model), cast back."""
    y = F.layer_norm(x.to(norm.weight.dtype), norm.normalized_shape, norm.weight, norm.bias, norm.eps)
    return y.to(x.dtype)


def block_forward(block: ResidualAttentionBlock, x: Tensor, causal: bool, mask: Tensor | None = None) -> Tensor:
    """One residual attention block on all tokens: [N, L, D] -> [N, L, D]. mask [L, L]: True where a row may attend."""
    attn, h = block.attn, layer_norm(block.ln_1, x)
    q, k, v = heads_of(attn, h)
    return after_attention(block, h, x + attend(attn, q, k, v, attn_mask=mask, is_causal=causal))


def after_attention(block: ResidualAttentionBlock, h: Tensor, x: Tensor) -> Tensor:
    """The rest of a block: x + MLP(ln_2(x)), plus a learned term of h where there is one (`BlockChange.beside`).
    h: the block's input after ln_1. x: the block after attention. Both [N, R, D], only the rows that are needed."""
    out = x + mlp_forward(block.mlp, layer_norm(block.ln_2, x))
    beside: Callable[[Tensor], Tensor] | None = getattr(block, "beside", None)  # of a `ChangedBlock`
    return out if beside is None else out + beside(h)


def block_forward_rows(
    block: ResidualAttentionBlock, x: Tensor, pick: Callable[[Tensor], Tensor], mask: Tensor | None = None
) -> Tensor:
    """The rows `pick(block(x))` of one block: [N, L, D] -> [N, R, D].

    For the last block, of which only a few rows are read: keys and values come from all tokens; queries, output
    projection and MLP are computed for these rows only. `pick` selects rows (along axis 1) of a [N, L, D] tensor;
    `mask` [N, 1, R, L] is True where a row may attend.
    """
    attn = block.attn
    h = layer_norm(block.ln_1, x)
    (q,) = heads_of(attn, pick(h), 0, 1)
    k, v = heads_of(attn, h, 1, 3)
    return after_attention(block, pick(h), pick(x) + attend(attn, q, k, v, attn_mask=mask))


def first_row_attention(block: ResidualAttentionBlock, x: Tensor) -> Tensor:
    """[N, L, D] -> [N, L]: attention of the first token to all tokens, mean over heads; each row sums to 1."""
    attn, width = block.attn, x.shape[-1]
    h = layer_norm(block.ln_1, x)
    (q,) = split_heads(F.linear(h[:, :1], attn.in_proj_weight[:width], attn.in_proj_bias[:width]), 1, attn.num_heads)
    keys = slice(width, 2 * width)
    (k,) = split_heads(F.linear(h, attn.in_proj_weight[keys], attn.in_proj_bias[keys]), 1, attn.num_heads)
    scores = (q @ k.transpose(-1, -2)).float() * q.shape[-1] ** -0.5
    return scores.softmax(dim=-1).mean(dim=1)[:, 0]


def mlp_forward(mlp: nn.Sequential, x: Tensor) -> Tensor:
    """The MLP of a block. Without a gradient QuickGELU works in place: the same numbers, less memory traffic."""
    c_fc, gelu, c_proj = mlp
    h = c_fc(x)
    if h.requires_grad or type(gelu).__name__ != "QuickGELU":
        return c_proj(gelu(h))
    return c_proj((1.702 * h).sigmoid_().mul_(h))


def heads_of(attn: nn.MultiheadAttention, x: Tensor, first: int = 0, last: int = 3) -> tuple[Tensor, ...]:
    """Queries (part 0), keys (1) and values (2) of [N, L, D]: the parts first .. last - 1, [N, heads, L, d] each."""
    rows = slice(first * x.shape[-1], last * x.shape[-1])
    y = F.linear(x, attn.in_proj_weight[rows], attn.in_proj_bias[rows])
    added: Added | None = getattr(attn, "added", None)  # of a `ChangedAttention`
    return split_heads(y if added is None else y + added(x, first, last), last - first, attn.num_heads)


def split_heads(x: Tensor, parts: int, heads: int) -> tuple[Tensor, ...]:
    """[N, L, parts * D] -> `parts` tensors [N, heads, L, D / heads]."""
    n, length, width = x.shape
    return x.view(n, length, parts, heads, width // parts // heads).permute(2, 0, 3, 1, 4).unbind(0)


def attend(
    attn: nn.MultiheadAttention,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    attn_mask: Tensor | None = None,
    is_causal: bool = False,
) -> Tensor:
    """Attention of split heads and its output projection: q [N, heads, L, d], k and v [N, heads, S, d] to [N, L, D]."""
    out = scaled_dot_product_attention(q, k, v, attn_mask=attn_mask, is_causal=is_causal)
    return F.linear(out.transpose(1, 2).flatten(2), attn.out_proj.weight, attn.out_proj.bias)


def run_blocks(
    blocks: list[ResidualAttentionBlock],
    x: Tensor,
    start: int,
    edits: dict[int, Callable[[Tensor], Tensor]],
    causal: bool,
    pick: Callable[[Tensor], Tensor],
    mask: Tensor | None = None,
    sees: Tensor | None = None,
) -> Tensor:
    """The picked rows after blocks `start` .. last (1-based), with `edits[b]` applied to the tokens that enter b.

    mask: of the picked rows in the last block, as in `block_forward_rows`. sees: [L, L], a mask for all blocks, which
    takes the place of `mask`.
    """
    depth = len(blocks)
    for b in range(start, depth + 1):
        if b in edits:
            x = edits[b](x)
        if b == depth:
            return block_forward_rows(blocks[b - 1], x, pick, mask if sees is None else pick(sees[None])[:, None])
        x = block_forward(blocks[b - 1], x, causal, sees)
    return pick(x)


def causal_rows_mask(positions: Tensor, length: int) -> Tensor:
    """[N] positions -> [N, 1, 1, length] mask: the row at position p sees the tokens 0 .. p."""
    return (torch.arange(length, device=positions.device) <= positions[:, None])[:, None, None, :]
