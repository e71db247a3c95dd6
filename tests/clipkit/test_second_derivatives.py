"""Second derivatives through the towers: where they are asked for, and nowhere else, attention is the plain form."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from clipkit import ContextPrompts, ImageEncoder, TextEncoder, attention, normalize, tokenize

TEXTS = ["a photo of a cat.", "dog", "a very small locomotive."]


@pytest.fixture
def towers(vit64):
    """{name: (a scalar of prompts, the prompts)}, in fp64."""
    gen = torch.Generator().manual_seed(3)

    def draw(*shape):
        return torch.randn(*shape, generator=gen, dtype=torch.float64)

    text, image, pixels = TextEncoder(vit64), ImageEncoder(vit64), draw(2, 3, 32, 32)
    tokens = tokenize(TEXTS)
    embedding, eot = text.embed(tokens), tokens.argmax(-1)
    names = ContextPrompts(vit64, ["cat", "a very small locomotive"], 4)
    direction = draw(128)

    def scalar(features):
        return torch.tanh(normalize(features) @ direction[: features.shape[-1]]).sum()

    return {
        "text, replaced": (lambda p: scalar(text(embedding, eot, replace={2: p})), draw(1, 128)),
        "text, inserted": (lambda p: scalar(text(embedding, eot, insert={2: p, 3: p})), draw(2, 128)),
        "text, context": (lambda p: scalar(text.encode(names.split(p))), draw(4, 128)),
        "image, replaced": (lambda p: scalar(image(pixels, replace={1: p, 2: p})), draw(2, 128)),
        "image, pixels": (lambda p: scalar(image(p)), pixels),
    }


def hessian_vector(scalar, p, v):
    p = p.clone().requires_grad_()
    (g,) = torch.autograd.grad(scalar(p), p, create_graph=True)
    return g.detach(), torch.autograd.grad((g * v).sum(), p)[0]


def gradient(scalar, p):
    p = p.clone().requires_grad_()
    return torch.autograd.grad(scalar(p), p)[0]


KINDS = ["text, replaced", "text, inserted", "text, context", "image, replaced", "image, pixels"]


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_the_derivative_of_the_gradient(towers, kind, monkeypatch):
    scalar, p = towers[kind]
    v, eps = torch.randn(p.shape, generator=torch.Generator().manual_seed(4), dtype=p.dtype), 1e-4
    g, hv = hessian_vector(scalar, p, v)
    torch.testing.assert_close(g, gradient(scalar, p))
    finite = (gradient(scalar, p + eps * v) - gradient(scalar, p - eps * v)) / (2 * eps)
    torch.testing.assert_close(hv, finite, rtol=1e-4, atol=1e-5 * finite.abs().max().item())
    monkeypatch.setattr(attention, "FUSED", plain)
    torch.testing.assert_close(hv, hessian_vector(scalar, p, v)[1])


def plain(q, k, v, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False):
    """From the equation."""
    scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
    if is_causal:
        attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
    return (scores if attn_mask is None else scores.masked_fill(~attn_mask, -torch.inf)).softmax(-1) @ v


@pytest.mark.parametrize("kind", KINDS)
def test_a_first_derivative_costs_what_it_did(towers, kind, monkeypatch):
    """The operations of torch's own function, the plain form not once, the same numbers to the last bit."""
    scalar, p = towers[kind]
    monkeypatch.setattr(attention, "plain_attention", lambda *args, **kwargs: pytest.fail("the plain form ran"))

    def counted():
        with FlopCounterMode(display=False) as flops:
            own = p.clone().requires_grad_()
            scalar(own).backward()
        return own.grad, flops.get_flop_counts()

    ours, cost = counted()
    monkeypatch.setattr("clipkit.ops.scaled_dot_product_attention", F.scaled_dot_product_attention)
    theirs, own_cost = counted()
    assert torch.equal(ours, theirs) and cost == own_cost


@pytest.mark.parametrize("mask", [None, "causal", "bool", "float"])
def test_of_every_order_and_mask(mask):
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 3, 5, 8, dtype=torch.float64, requires_grad=True) for _ in range(3))
    masks = {"bool": torch.rand(5, 5) > 0.2, "float": torch.randn(5, 5, dtype=torch.float64)}
    kwargs = {"is_causal": mask == "causal", "attn_mask": masks.get(mask)}
    found = []
    for function in (attention.scaled_dot_product_attention, attention.plain_attention):
        out = function(q, k, v, **kwargs)
        for _ in range(3):
            grads = torch.autograd.grad(out.pow(3).sum(), [q, k, v], create_graph=True)
            out = torch.stack(grads)
            found.append(out)
    for ours, theirs in zip(found[:3], found[3:], strict=True):
        torch.testing.assert_close(ours, theirs)
    only_keys = attention.scaled_dot_product_attention(q.detach(), k, v.detach(), **kwargs)
    (g,) = torch.autograd.grad(only_keys.square().sum(), k, create_graph=True)
    assert torch.isfinite(torch.autograd.grad(g.square().sum(), k)[0]).all()
    torch.func.hessian(lambda x: attention.scaled_dot_product_attention(x, k, v, **kwargs).sum())(q)


def test_within_the_block_torchs_own_modules_have_them(resnet):
    """A fork's blocks, and the attention pool of a ResNet, which `ImageEncoder` calls."""
    torch.manual_seed(0)
    layer = nn.MultiheadAttention(16, 2)
    x = torch.randn(3, 2, 16)

    def second(function, x):
        x = x.clone().requires_grad_()
        (g,) = torch.autograd.grad(function(x).square().sum(), x, create_graph=True)
        return torch.autograd.grad(g.square().sum(), x)[0]

    def own(x):
        return layer(x, x, x, need_weights=False)[0]

    with attention.twice_differentiable(), attention.twice_differentiable():
        found = second(own, x)
    torch.testing.assert_close(found, second(lambda x: layer(x, x, x)[0], x))  # with weights it is not fused
    with pytest.raises(RuntimeError, match="not implemented"):
        second(own, x)
    assert torch.isfinite(second(ImageEncoder(resnet), torch.randn(1, 3, 64, 64))).all()
    assert F.scaled_dot_product_attention is attention.FUSED
