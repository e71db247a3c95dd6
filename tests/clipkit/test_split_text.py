"""Prompts that share their beginning: features and gradients of the dense form, and of the stock tower's 77 tokens."""

from __future__ import annotations

import itertools

import pytest
import torch

from clipkit import ContextPrompts, InputError, TextEncoder, tokenize
from clipkit.split_text import common_prefix, length_groups
from clipkit.tokens import OPENAI_TOKENIZER

NAMES = ["cat", "a very long winded name of a thing", "dog", "striped circle", "ox", "two words", "red deer of old"]


@pytest.fixture
def encoder(vit64):
    return TextEncoder(vit64)


@pytest.fixture(params=[0.0, 1e9], ids=["three lengths", "one length"])
def cost(request, monkeypatch):
    """With free groups there are several of them, with dear ones only one."""
    for module in ("context_prompts", "split_text"):
        monkeypatch.setattr(f"clipkit.{module}.group_cost", lambda width, device: request.param)
    return request.param


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def same(ours: torch.Tensor, dense: torch.Tensor, leaves: list[torch.Tensor]) -> None:
    assert (ours - dense).abs().max() < 1e-10
    weight = torch.randn_like(dense)
    mine = torch.autograd.grad((ours * weight).sum(), leaves)
    theirs = torch.autograd.grad((dense * weight).sum(), leaves)
    for a, b in zip(mine, theirs, strict=True):
        assert (a - b).abs().max() < 1e-9 and b.abs().max() > 0


@pytest.mark.parametrize(("position", "n", "words"), [
    ("end", 4, None), ("end", 2, "a photo of a"), ("middle", 4, None), ("front", 3, None),
])  # fmt: skip
def test_context_for_all_classes(encoder, cost, position, n, words):
    prompts = ContextPrompts(encoder.clip_model, NAMES, n, ctx_text=words, position=position)
    ctx = draw(n, encoder.width)
    split = prompts.split(ctx)
    assert split.classes == len(NAMES)
    assert len(split.groups) == (3 if cost == 0 else 1)
    assert len(split.prefix) == {"end": 1 + max(n, 4 if words else 0), "middle": 3, "front": 1}[position]
    same(encoder.encode(split), encoder(prompts(ctx), prompts.eot), [ctx])


def test_context_per_class(encoder, cost):
    prompts = ContextPrompts(encoder.clip_model, NAMES, 3)
    ctx = draw(len(NAMES), 3, encoder.width)
    same(encoder.encode(prompts.split(ctx)), encoder(prompts(ctx), prompts.eot), [ctx])


def test_context_per_image(encoder, cost):
    prompts = ContextPrompts(encoder.clip_model, NAMES, 3)
    ctx = draw(5, 1, 3, encoder.width)
    dense = torch.stack([encoder(prompts(c[0]), prompts.eot) for c in ctx])
    same(encoder.encode(prompts.split(ctx)), dense, [ctx])


def blocks(encoder, n: int, classes: int = 0, start: int = 1) -> dict[int, torch.Tensor]:
    lead = (classes,) if classes else ()
    return {b: draw(*lead, n, encoder.width) for b in range(start, encoder.depth + 1)}


@pytest.mark.parametrize("per_class", [False, True])
@pytest.mark.parametrize("kind", ["replace", "insert"])
@pytest.mark.parametrize("start", [1, 2])
def test_deep_prompts(encoder, cost, kind, per_class, start):
    prompts = ContextPrompts(encoder.clip_model, NAMES, 4)
    ctx = draw(4, encoder.width)
    deep = blocks(encoder, 4, len(NAMES) if per_class else 0, start)
    leaves = [*deep.values()] if (kind, start) == ("replace", 1) else [ctx, *deep.values()]
    same(
        encoder.encode(prompts.split(ctx), **{kind: deep}),
        encoder(prompts(ctx), prompts.eot, **{kind: deep}),
        leaves,
    )


def test_class_prompts_after_shared_ones(encoder, cost):
    """One block overwrites for all classes, the next for each: the shared beginning is given up there."""
    prompts = ContextPrompts(encoder.clip_model, NAMES, 4)
    ctx = draw(4, encoder.width)
    deep = {2: draw(2, encoder.width), 3: draw(len(NAMES), 4, encoder.width)}
    same(encoder.encode(prompts.split(ctx), replace=deep), encoder(prompts(ctx), prompts.eot, replace=deep),
         [ctx, *deep.values()])  # fmt: skip


def test_overwriting_beyond_the_shared_beginning(encoder, cost):
    prompts = ContextPrompts(encoder.clip_model, ["cat tree", "old dog", "a b c d"], 1)
    ctx, deep = draw(1, encoder.width), {2: draw(2, encoder.width)}
    same(encoder.encode(prompts.split(ctx), replace=deep), encoder(prompts(ctx), prompts.eot, replace=deep),
         [ctx, *deep.values()])  # fmt: skip


def test_whole_texts_equal_the_stock_tower(vit, cost):
    encoder = TextEncoder(vit)
    texts = [f"a photo of a {name}." for name in NAMES]
    stock = vit.encode_text(tokenize(texts))
    assert (encoder.encode(encoder.split_texts(texts)) - stock).abs().max() < 1e-5
    one = encoder.encode(encoder.split_texts(texts[:1]))  # one class: everything but EOT is shared
    assert (one - stock[:1]).abs().max() < 1e-5


@pytest.mark.parametrize("until", [1, 2])
def test_lower_and_the_rest_equal_the_whole(encoder, cost, until):
    text = encoder.split_texts([f"a photo of a {name}." for name in NAMES])
    deep = {b: p for b, p in blocks(encoder, 3).items() if b > until}
    hidden = encoder.lower(text, until)
    assert not hidden.prefix.requires_grad
    same(
        encoder.encode(hidden, insert=deep, start_block=until + 1), encoder.encode(text, insert=deep), [*deep.values()]
    )


def test_lower_keeps_a_graph_only_for_prompts_that_learn(encoder):
    prompts, ctx = ContextPrompts(encoder.clip_model, NAMES, 2), draw(2, encoder.width)
    assert encoder.lower(prompts.split(ctx), 1).prefix.requires_grad
    assert not encoder.lower(prompts.split(ctx.detach()), 1).prefix.requires_grad


def test_prompts_below_the_starting_block_are_refused(encoder):
    hidden = encoder.lower(encoder.split_texts(["a cat"]), 1)
    with pytest.raises(InputError, match="block 1.*starts at 2"):
        encoder.encode(hidden, replace={1: draw(1, encoder.width)}, start_block=2)


def test_lower_needs_a_block_above(encoder):
    for until in (0, encoder.depth):
        with pytest.raises(InputError, match="3 blocks"):
            encoder.lower(encoder.split_texts(["a cat"]), until)


def test_too_long_a_prompt_and_too_many_replacements(encoder):
    prompts = ContextPrompts(encoder.clip_model, ["cat"], 2)
    with pytest.raises(InputError, match="cannot replace"):
        encoder.encode(prompts.split(draw(2, encoder.width)), replace={2: draw(9, encoder.width)})
    with pytest.raises(InputError, match="equally many"):
        encoder.encode(
            prompts.split(draw(2, encoder.width)), insert={1: draw(2, encoder.width), 2: draw(3, encoder.width)}
        )
    long = prompts.split(draw(2, encoder.width))
    long.prefix = draw(80, encoder.width)
    with pytest.raises(InputError, match="at most 77"):
        encoder.encode(long)


def test_common_beginning():
    tokens = tokenize(["a photo of a cat", "a photo of two dogs", "a photo of an ox"])
    assert common_prefix(tokens, OPENAI_TOKENIZER.eot(tokens)) == 4  # SOS a photo of
    assert common_prefix(tokens[:1], OPENAI_TOKENIZER.eot(tokens[:1])) == 6  # all but EOT
    assert common_prefix(tokenize(["cat", "dog"]), torch.tensor([2, 2])) == 1


@pytest.mark.parametrize("cost", [0, 1, 5, 100])
def test_groups_are_the_cheapest(cost):
    """Against all ways to cut the sorted lengths."""
    generator = torch.Generator().manual_seed(cost)
    for _ in range(20):
        lengths = torch.randint(3, 12, (9,), generator=generator).tolist()
        groups = length_groups(lengths, cost)
        assert sorted(i for g in groups for i in g) == list(range(9)) and len(groups) <= 3

        def price(parts) -> float:
            return sum(len(p) * max(p) + cost for p in parts)

        ordered, best = sorted(lengths), float("inf")
        for k in range(3):
            for cuts in itertools.combinations(range(1, 9), k):
                bounds = [0, *cuts, 9]
                best = min(best, price([ordered[a:b] for a, b in itertools.pairwise(bounds)]))
        assert price([[lengths[i] for i in g] for g in groups]) == best
        longest = [max(lengths[i] for i in g) for g in groups]
        assert longest == sorted(longest)
