"""A set of prompts as one shared beginning and groups of different ends: the beginning is computed once for all
classes, and short names are not padded to the longest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

# Cost of one more group (launching its kernels), in multiply-adds: a coarse measurement by device.
GROUP_COST = {"cpu": 1e8, "cuda": 3e9}
MAX_GROUPS = 3


@dataclass
class TextGroup:
    """Prompts of like length. rows [C_g]: which classes; tokens [C_g, S, width]: what follows the shared beginning
    ([G * C_g, S, width] once each of G beginnings has its own); eot [C_g]: position of EOT within `tokens`."""

    rows: Tensor
    tokens: Tensor
    eot: Tensor


@dataclass
class SplitText:
    """C prompts. prefix: [P, width], their common beginning (SOS, context, ...), or [G, P, width], one for each of G
    sets of the same C ends (CoCoOp: a context per image)."""

    prefix: Tensor
    groups: list[TextGroup]

    @property
    def classes(self) -> int:
        return sum(len(group.rows) for group in self.groups)


def common_prefix(tokens: Tensor, eot: Tensor) -> int:
    """Number of leading tokens that are the same in all rows of [C, L] ids, EOT left out; at least 1 (SOS)."""
    same = (tokens == tokens[:1]).all(dim=0)[: int(eot.min())]
    return max(1, int(same.long().cumprod(0).sum()))


def length_groups(lengths: Sequence[int], group_cost: float = 0.0, most: int = MAX_GROUPS) -> list[list[int]]:
    """Indices of at most `most` groups of like length, short ones first.

    The groups minimise (tokens, each padded to its group's longest) + `group_cost` a group; equal lengths stay
    together. `group_cost` is in tokens.
    """
    distinct = sorted(set(lengths))
    count = {length: sum(1 for x in lengths if x == length) for length in distinct}
    # best[i][g]: cheapest way to put the i shortest lengths into g groups, and where its last group starts
    best: list[dict[int, tuple[float, int]]] = [{0: (0.0, 0)}]
    for i in range(1, len(distinct) + 1):
        best.append({})
        for g in range(1, min(i, most) + 1):
            options = [
                (best[j][g - 1][0] + sum(count[x] for x in distinct[j:i]) * distinct[i - 1] + group_cost, j)
                for j in range(i)
                if g - 1 in best[j]
            ]
            if options:
                best[i][g] = min(options)
    end = len(distinct)
    g = min(best[end], key=lambda k: best[end][k][0])
    bounds: list[tuple[int, int]] = []
    while end:
        start = best[end][g][1]
        bounds.append((start, end))
        end, g = start, g - 1
    return [[i for i, x in enumerate(lengths) if x in distinct[a:b]] for a, b in reversed(bounds)]


def group_cost(width: int, device: torch.device) -> float:
    """`GROUP_COST` in tokens of a transformer of this width (about 12 width^2 multiply-adds a token and block)."""
    return GROUP_COST.get(device.type, GROUP_COST["cuda"]) / (12 * width**2)


def split_embedding(embedding: Tensor, eot: Tensor, prefix: int) -> SplitText:
    """Embeddings (or hidden states) [C, L, width] with EOT at [C], whose first `prefix` rows are the same for all."""
    lengths = (eot + 1 - prefix).tolist()
    cost = group_cost(embedding.shape[-1], embedding.device)
    groups = []
    for rows in length_groups(lengths, cost):
        end = prefix + max(lengths[i] for i in rows)
        index = torch.tensor(rows, device=embedding.device)
        groups.append(TextGroup(index, embedding[index, prefix:end], eot[index] - prefix))
    return SplitText(embedding[0, :prefix], groups)
