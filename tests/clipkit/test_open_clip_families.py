"""Backbones of other families: features of open_clip's own classes, prompts of a plain loop, only exact savings."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from open_clip_families import SETTINGS, make_folder

import clipkit
from clipkit import ContextPrompts, ImageEncoder, InputError, TextEncoder, load_clip

pytest.importorskip("open_clip")
pytest.importorskip("transformers")

TEXTS = ["a photo of a cat.", "a dog", "a very very small dog of the two dogs"]
NAMES = ["cat", "dog", "two small dogs"]


@pytest.fixture(scope="module", params=list(SETTINGS))
def pair(request, tmp_path_factory):
    """(family, open_clip's model, ours)."""
    folder = tmp_path_factory.mktemp("family") / "model"
    theirs = make_folder(folder, request.param)
    return request.param, theirs, load_clip(f"local-dir:{folder}")


def close(ours, theirs):
    torch.testing.assert_close(ours, theirs, atol=1e-5 * max(1.0, float(theirs.abs().max())), rtol=0)


def images(gen, n=2):
    return torch.randn(n, 3, 32, 32, generator=gen)


# ---------------------------------------------------------------------- features


def test_image_features(pair, gen):
    _, theirs, ours = pair
    image, encoder = images(gen), ImageEncoder(ours)
    expected = theirs.encode_image(image)
    assert expected.shape[1] == encoder.embed_dim and encoder.input_size == 32 and encoder.patch == 8
    close(encoder(image), expected)
    close(encoder(image.clone().requires_grad_()).detach(), expected)
    close(encoder(encoder.lower(image, 1), start_block=2), expected)


def test_text_features(pair):
    _, theirs, ours = pair
    encoder = TextEncoder(ours)
    ids = encoder.tokenizer.ids(TEXTS)
    expected = theirs.encode_text(ids)
    eot = encoder.tokenizer.eot(ids)
    close(encoder(encoder.embed(ids), eot), expected)
    close(encoder(encoder.embed(ids).requires_grad_(), eot).detach(), expected)
    close(encoder.encode_texts(TEXTS), F.normalize(expected, dim=-1))
    split = encoder.split_texts(TEXTS)
    close(encoder.encode(split), expected)
    close(encoder.encode(encoder.lower(split, 1), start_block=2), expected)


def test_a_context_stands_in_front_of_the_names(pair, gen):
    """`split` and the dense prompts give the features of the same embeddings in open_clip's tower."""
    _, theirs, ours = pair
    encoder = TextEncoder(ours)
    for context in (torch.randn(2, 64, generator=gen) * 0.3, torch.randn(3, 2, 64, generator=gen) * 0.3):
        prompts = ContextPrompts(ours, NAMES, 2)
        ids = encoder.tokenizer.ids(prompts.texts)
        first = encoder.tokenizer.first
        expected = in_their_tower(theirs, ids, context, first)
        close(encoder.encode(prompts.split(context)), expected)
        close(encoder(prompts(context), prompts.eot), expected)
    both = torch.stack([context[0], context[1]])[:, None]
    prompts = ContextPrompts(ours, NAMES, 2)
    close(encoder.encode(prompts.split(both))[1], encoder.encode(prompts.split(context[1])))


def in_their_tower(theirs, ids, context, first):
    """Text features with the embeddings at `first` .. replaced, by a hook on the word embedding."""

    def put(module, args, out):
        out = out.clone()
        out[:, first : first + context.shape[-2]] = context
        return out

    text = getattr(theirs, "text", theirs)
    words = text.token_embedding if hasattr(text, "token_embedding") else text.transformer.embeddings.word_embeddings
    hook = words.register_forward_hook(put)
    try:
        return theirs.encode_text(ids)
    finally:
        hook.remove()


def test_words_to_start_from(pair):
    _, theirs, ours = pair
    prompts, encoder = ContextPrompts(ours, NAMES, 4, ctx_text="a photo of a"), TextEncoder(ours)
    expected = theirs.encode_text(encoder.tokenizer.ids([f"a photo of a {name}." for name in NAMES]))
    close(encoder.encode(prompts.split(prompts.init_context())), expected)


# ---------------------------------------------------------------------- deep prompts


def plain_text(theirs, ids, prompts, kind, first):
    """open_clip's text tower block by block, with [n, D] tokens before blocks; no token is cut."""
    text = getattr(theirs, "text", theirs)
    hf = hasattr(text, "pooler")
    n = next(iter(prompts.values())).shape[0]
    if hf:
        x, blocks = text.transformer.embeddings(input_ids=ids), text.transformer.encoder.layer
        seen = ids != 0
    else:
        x, blocks, seen = text.token_embedding(ids) + text.positional_embedding, text.transformer.resblocks, None
    for b, block in enumerate(blocks, start=1):
        if b in prompts:
            new = prompts[b].expand(len(x), -1, -1)
            put_in = kind == "insert" and b == min(prompts)
            x = torch.cat([x[:, :first], new, x[:, first if put_in else first + n :]], dim=1)
            if put_in and hf:
                seen = torch.cat([seen[:, :1], torch.ones(len(x), n, dtype=torch.bool), seen[:, 1:]], dim=1)
        if hf:
            x = block(x, attention_mask=torch.where(seen, 0.0, -1e30)[:, None, None])[0]
        else:
            causal = text.attn_mask is not None
            x = block(x, attn_mask=torch.full((x.shape[1],) * 2, float("-inf")).triu(1) if causal else None)
    moved = n if kind == "insert" else 0
    if hf:
        pooled = x[:, 0]
        if type(text.pooler).__name__ == "MeanPooler":
            pooled = (x * seen[..., None]).sum(1) / seen.sum(1, keepdim=True)
        return text.proj(pooled)
    x = text.ln_final(x)
    row = (
        torch.full((len(x),), x.shape[1] - 1)
        if getattr(text, "pool_type", "argmax") == "last"
        else ids.argmax(-1) + moved
    )
    pooled = x[torch.arange(len(x)), row]
    return (
        text.text_projection(pooled)
        if isinstance(text.text_projection, torch.nn.Linear)
        else pooled @ text.text_projection
    )


@pytest.mark.parametrize("kind", ["replace", "insert"])
def test_deep_text_prompts_are_those_of_a_plain_loop(pair, kind, gen):
    _, theirs, ours = pair
    encoder = TextEncoder(ours)
    ids = encoder.tokenizer.ids(TEXTS)
    deep = {b: torch.randn(2, 64, generator=gen) for b in (2, 3)}
    texts = [text for text in TEXTS if len(text) > 8]
    ids = encoder.tokenizer.ids(texts)
    expected = plain_text(theirs, ids, deep, kind, encoder.tokenizer.first)
    close(encoder.encode(encoder.split_texts(texts), **{kind: deep}), expected)
    close(encoder(encoder.embed(ids), encoder.tokenizer.eot(ids), **{kind: deep}), expected)
    each = {b: tokens.expand(len(texts), -1, -1) for b, tokens in deep.items()}
    close(encoder.encode(encoder.split_texts(texts), **{kind: each}), expected)
    lower = encoder.lower(encoder.split_texts(texts), 1)
    close(encoder.encode(lower, start_block=2, **{kind: deep}), expected)


def plain_image(theirs, image, prompts, kind):
    """open_clip's image tower block by block."""
    visual, n = theirs.visual, next(iter(prompts.values())).shape[0]
    if hasattr(visual, "trunk"):
        trunk = visual.trunk
        x, rope = trunk._pos_embed(trunk.patch_embed(image)), None
        if isinstance(x, tuple):
            x, rope = x
        x, blocks, prefix = trunk.norm_pre(x), trunk.blocks, trunk.num_prefix_tokens
    else:
        x, blocks, prefix, rope = visual._embeds(image), visual.transformer.resblocks, 1, None
    front = kind == "insert" or rope is not None
    for b, block in enumerate(blocks, start=1):
        if b in prompts:
            new = prompts[b].expand(len(x), -1, -1)
            start = b == min(prompts)
            if front:
                x = torch.cat([x[:, :prefix], new, x[:, prefix if start else prefix + n :]], dim=1)
            else:
                x = torch.cat([x if start else x[:, :-n], new], dim=1)
        if rope is None:
            x = block(x)
        else:
            block.attn.num_prefix_tokens = prefix + (n if b >= min(prompts) else 0)
            x = block(x, rope=rope)
            block.attn.num_prefix_tokens = prefix
    if not hasattr(visual, "trunk"):
        x = visual.ln_post(x)
        return x[:, 0] @ visual.proj, x[:, 1 : 1 + n] if front else x[:, -n:]
    x = trunk.norm(x)
    tokens = x[:, prefix : prefix + n] if front else x[:, -n:]
    if trunk.attn_pool is None:
        x = torch.cat([x[:, :prefix], x[:, prefix + n :]], dim=1) if front else x[:, :-n]
    return visual.head(trunk.forward_head(x)), tokens


@pytest.mark.parametrize("kind", ["replace", "insert"])
def test_visual_prompts_are_those_of_a_plain_loop(pair, kind, gen):
    _, theirs, ours = pair
    image, encoder = images(gen), ImageEncoder(ours)
    deep = {b: torch.randn(2, 64, generator=gen) for b in (2, 3)}
    expected, tokens = plain_image(theirs, image, deep, kind)
    features, outputs = encoder(image, return_tokens=True, **{kind: deep})
    close(features, expected)
    close(outputs, tokens)
    close(encoder(image, **{kind: deep}), expected)
    assert encoder.projection().shape == (64, encoder.embed_dim)


# ---------------------------------------------------------------------- savings, fingerprint, refusals


def test_savings_are_used_where_they_are_exact_only(pair):
    family, _, ours = pair
    encoder = TextEncoder(ours)
    known = {"A": {"cut", "groups", "prefix"}, "B": {"cut", "groups", "prefix"}, "C": set(), "E": {"cut", "groups"}}
    assert encoder.savings == known[family[0]]
    prompts = ContextPrompts(ours, NAMES, 2)
    full = encoder.tokenizer.length
    assert (prompts.length == full) == (family[0] == "C")


def test_what_an_open_clip_model_computes_is_in_its_fingerprint(pair):
    family, _, ours = pair
    assert ours.clipkit_spec.family.startswith(family[0])
    found = clipkit.fingerprint(ours)
    ours._clipkit_fingerprint, spec = None, ours.clipkit_spec
    ours.clipkit_spec = clipkit.backbone_spec.replace(spec, logit_bias=not spec.logit_bias)
    assert clipkit.fingerprint(ours) != found
    ours.clipkit_spec, ours._clipkit_fingerprint = spec, None
    assert clipkit.fingerprint(ours) == found


def test_too_long_texts_and_blocks_that_there_are_not(pair):
    _, _, ours = pair
    encoder = TextEncoder(ours)
    with pytest.raises(InputError, match=f"CLIP reads at most {encoder.tokenizer.length}"):
        encoder.encode_texts(["dog " * 80])
    with pytest.raises(InputError, match="has 3 blocks"):
        ImageEncoder(ours)(torch.zeros(1, 3, 32, 32), insert={4: torch.zeros(1, 64)})
