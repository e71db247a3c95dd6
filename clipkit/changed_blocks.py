"""Blocks of a frozen tower in which learned values replace some of the frozen weights, or are added to them.

For methods that change weights (low-rank updates, layer norms), not tokens. The stock modules are neither edited nor
copied: a `ChangedBlock` reads what the learner does not give from the block that it stands for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from .errors import InputError
from .openai_clip import ResidualAttentionBlock

# (input [N, L, D] of the attention, first part, last part + 1) -> what is added to these parts of its queries (part 0),
# keys (1) and values (2), side by side: [N, L, parts * D].
Added = Callable[[Tensor, int, int], Tensor]


@dataclass(frozen=True)
class BlockChange:
    """What a method changes in one block. None: the block's own weights are used.

    ln_1, ln_2: the layer norms before attention and MLP.
    merge: takes the matrix [3 D, D] of queries, keys and values, and gives the one to use in its place.
    added: is added to queries, keys and values.
    beside: is added to the block's output, from its input after ln_1: [N, R, D] -> [N, R, D], each row on its own.
    random: whether `added` draws random numbers. A prefix that all classes share must then be computed for each class,
        since each has draws of its own.
    """

    ln_1: nn.LayerNorm | None = None
    ln_2: nn.LayerNorm | None = None
    merge: Callable[[Tensor], Tensor] | None = None
    added: Added | None = None
    beside: Callable[[Tensor], Tensor] | None = None
    random: bool = False


Changes = Mapping[int, BlockChange]  # by block, counted from 1


class ChangedAttention:
    """The attention of a block, as `ops.py` reads it."""

    def __init__(self, attn: nn.MultiheadAttention, change: BlockChange) -> None:
        self.in_proj_weight = change.merge(attn.in_proj_weight) if change.merge else attn.in_proj_weight
        self.in_proj_bias, self.out_proj, self.num_heads = attn.in_proj_bias, attn.out_proj, attn.num_heads
        self.added = change.added


class ChangedBlock:
    """A block with a change, as `ops.py` reads it."""

    def __init__(self, block: ResidualAttentionBlock, change: BlockChange) -> None:
        self.ln_1, self.ln_2 = change.ln_1 or block.ln_1, change.ln_2 or block.ln_2
        self.attn, self.mlp = ChangedAttention(block.attn, change), block.mlp
        self.beside = change.beside


def changed_blocks(blocks: Sequence[ResidualAttentionBlock], changes: Changes, tower: str) -> list[Any]:
    """All blocks of a tower, with `changes` applied to those that it names. tower: "text" or "image", for messages.
    Raises InputError for the number of a block that the tower does not have."""
    if wrong := [b for b in changes if not 1 <= b <= len(blocks)]:
        raise InputError(
            f"Block {wrong[0]} of the {tower} encoder is to be changed, but its blocks are numbered 1 to {len(blocks)}"
        )
    return [ChangedBlock(x, changes[b]) if b in changes else x for b, x in enumerate(blocks, start=1)]
