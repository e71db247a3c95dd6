"""Learned contexts in training: the text tower learns to read class names after vectors that are no words.

A prompt learner puts learned vectors before a class name. Wrong labels push them to where the features of all classes
are alike. CLIP's text tower withstands that; a tower trained on captions of one grammar does not. So some contexts are
trained on random labels, as a prompt learner would train them, and the tower is trained to separate the classes after
them (adversarial examples in the space of prompts).
"""

from __future__ import annotations

import random

import torch
import torch.nn.functional as F
from clip.model import CLIP
from torch import Tensor

from .vocab import DIGITS, LETTERS, NOUNS, SHAPES, TEXTURES

LENGTH = 16  # vectors in a context, as CoOp's
SPREAD = 0.02  # standard deviation of a new context, as CoOp's
STEP, MOMENTUM = 0.002, 0.9  # CoOp's SGD
# Where the nouns of one kind begin in NOUNS, and how many there are: a data set holds classes of one kind.
_KINDS = (
    (0, len(SHAPES)), (len(SHAPES), len(DIGITS)), (len(SHAPES) + len(DIGITS), len(LETTERS)),
    (len(NOUNS) - len(TEXTURES), len(TEXTURES)),
)  # fmt: skip


def new_contexts(count: int, width: int, generator: torch.Generator) -> Tensor:
    """[count, LENGTH, width] as CoOp draws them."""
    return SPREAD * torch.randn(count, LENGTH, width, generator=generator)


def class_features(clip: CLIP, table: Tensor, contexts: Tensor, start: int, names: list[list[int]]) -> Tensor:
    """Normalised text features [G, C, embed_dim] of C names behind each of G contexts [G, n, width].

    table [V, width]: token rows; start: the row of the start token; names: rows of each name and of the end token.
    The start and the context come first, so they run once for all names: the tower is causal.
    """
    count, length, width = contexts.shape
    first = length + 1
    longest = max(map(len, names))
    ends = torch.tensor([row + [0] * (longest - len(row)) for row in names])
    x = torch.cat((table[start].expand(count, 1, -1), contexts), dim=1) + clip.positional_embedding[:first]
    y = (table[ends] + clip.positional_embedding[first : first + longest]).expand(count, -1, -1, -1)
    before = torch.full((first, first), float("-inf")).triu_(1)
    after = torch.full((longest, longest), float("-inf")).triu_(1)
    for block in clip.transformer.resblocks:
        heads = block.attn.num_heads
        q, k, v = _heads(x, block, heads)
        q_name, k_name, v_name = _heads(y, block, heads)
        seen = (q @ k.mT + before).softmax(-1) @ v
        scores = torch.cat((q_name @ k[:, None].mT, q_name @ k_name.mT + after), dim=-1).softmax(-1)
        seen_name = scores[..., :first] @ v[:, None] + scores[..., first:] @ v_name
        x, y = _rest(x, seen, block), _rest(y, seen_name, block)
    last = y[:, torch.arange(len(names)), torch.tensor([len(row) - 1 for row in names])]
    last = F.layer_norm(last, (width,), clip.ln_final.weight, clip.ln_final.bias)
    return F.normalize(last @ clip.text_projection, dim=-1)


def _heads(x: Tensor, block: torch.nn.Module, heads: int) -> list[Tensor]:
    """Queries (scaled), keys and values [..., heads, tokens, width / heads] of x [..., tokens, width]."""
    width = x.shape[-1]
    h = F.layer_norm(x, (width,), block.ln_1.weight, block.ln_1.bias)
    parts = F.linear(h, block.attn.in_proj_weight, block.attn.in_proj_bias).chunk(3, dim=-1)
    q, k, v = (part.unflatten(-1, (heads, width // heads)).transpose(-2, -3) for part in parts)
    return [q * (width // heads) ** -0.5, k, v]


def _rest(x: Tensor, attended: Tensor, block: torch.nn.Module) -> Tensor:
    """The block after its attention: [..., heads, tokens, width / heads] joined, projected, and the MLP."""
    x = x + block.attn.out_proj(attended.transpose(-2, -3).flatten(-2))
    return x + block.mlp(block.ln_2(x))


class Misled:
    """Contexts in training on random labels; each starts anew after `life` steps, on a new subset of one kind's names.

    G contexts [G, LENGTH, width] in `values`; the state is tensors and numbers alone.
    """

    def __init__(self, count: int, width: int, life: int, generator: torch.Generator) -> None:
        self.life, self.generator = life, generator
        self.values = new_contexts(count, width, generator)
        self.speed = torch.zeros_like(self.values)
        self.age = [i * life // count for i in range(count)]  # so that all ages are present at once
        self.nouns = [self._subset() for _ in range(count)]

    def _subset(self) -> Tensor:
        """The nouns that a context is trained on: all or half of one kind, like a data set or its base classes."""
        first, size = _KINDS[int(torch.randint(len(_KINDS), (), generator=self.generator))]
        part = size if torch.rand((), generator=self.generator) < 0.5 else (size + 1) // 2
        return first + torch.randperm(size, generator=self.generator)[:part]

    def advance(self, features: Tensor, image: Tensor, noun: Tensor, contexts: Tensor, scale: float) -> None:
        """One step of SGD on labels drawn at random, for every context.

        features [G, C, d]: text features of all nouns after `contexts`, a leaf tensor with gradient that equals
        `values`. image [B, d] and noun [B]: image features and their nouns; a context uses those of its own nouns.
        """
        loss = features.sum() * 0
        for mine, chosen in zip(features, self.nouns, strict=True):
            rows = torch.isin(noun, chosen).nonzero()[:32, 0]
            if len(rows):
                labels = torch.randint(len(chosen), (len(rows),), generator=self.generator)
                loss = loss + F.cross_entropy(scale * image[rows] @ mine[chosen].t(), labels)
        (gradient,) = torch.autograd.grad(loss, contexts)
        self.speed.mul_(MOMENTUM).add_(gradient)
        self.values.sub_(STEP * self.speed)
        for i, age in enumerate(self.age):
            self.age[i] = age + 1
            if self.age[i] >= self.life:
                self.values[i] = new_contexts(1, self.values.shape[-1], self.generator)[0]
                self.speed[i] = 0
                self.age[i], self.nouns[i] = 0, self._subset()

    def state(self) -> dict:
        return {"values": self.values, "speed": self.speed, "age": self.age, "nouns": self.nouns}

    def restore(self, state: dict) -> None:
        self.values, self.speed = state["values"], state["speed"]
        self.age, self.nouns = state["age"], state["nouns"]


def random_context(table: Tensor, rng: random.Random, generator: torch.Generator) -> Tensor:
    """[LENGTH, width]: noise of 0.75 to 3 times a new context's spread, or the rows of random words, disturbed."""
    width = table.shape[1]
    noise = torch.randn(LENGTH, width, generator=generator)
    if rng.random() < 0.6:
        return SPREAD * 0.75 * 4 ** rng.random() * noise
    words = torch.randint(len(table), (LENGTH,), generator=generator)
    return table[words] + 0.3 * rng.random() * table.std() * noise
