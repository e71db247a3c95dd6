import pytest
import torch

from clipkit import InputError, TextEncoder, normalize, tokenize

TEXTS = ["a photo of a cat.", "a photo of a very old and rather small steam locomotive.", "dog"]


def slow_block(block, x):
    """One causal attention block from the equations, head by head: x [C, L, D]."""

    def norm(layer, y):
        mean, var = y.mean(-1, keepdim=True), y.var(-1, unbiased=False, keepdim=True)
        return (y - mean) / (var + layer.eps).sqrt() * layer.weight + layer.bias

    attn, length = block.attn, x.shape[1]
    q, k, v = (norm(block.ln_1, x) @ attn.in_proj_weight.T + attn.in_proj_bias).chunk(3, dim=-1)
    mask = torch.full((length, length), float("-inf"), dtype=x.dtype).triu(1)
    heads = []
    for qh, kh, vh in zip(*(t.chunk(attn.num_heads, dim=-1) for t in (q, k, v)), strict=True):
        heads.append(((qh @ kh.mT) / qh.shape[-1] ** 0.5 + mask).softmax(-1) @ vh)
    x = x + torch.cat(heads, -1) @ attn.out_proj.weight.T + attn.out_proj.bias
    h = norm(block.ln_2, x) @ block.mlp.c_fc.weight.T + block.mlp.c_fc.bias
    h = h * torch.sigmoid(1.702 * h)
    return x + h @ block.mlp.c_proj.weight.T + block.mlp.c_proj.bias


def slow_text(model, prompts, eot, replace=None, insert=None):
    """The prompted text tower on the full length, token by token, in fp64."""
    x = list((prompts + model.positional_embedding[: prompts.shape[1]]).unbind(1))  # L tensors [C, D]
    eot = eot.clone()
    for b, block in enumerate(model.transformer.resblocks, start=1):
        given = (replace or {}).get(b, (insert or {}).get(b))
        if given is not None:
            given = given.expand(prompts.shape[0], -1, -1)
            if insert and b == min(insert):
                for i in range(given.shape[1]):
                    x.insert(1 + i, given[:, i])
                eot += given.shape[1]
            else:
                for i in range(given.shape[1]):
                    x[1 + i] = given[:, i]
        x = list(slow_block(block, torch.stack(x, 1)).unbind(1))
    final = model.ln_final
    x = torch.nn.functional.layer_norm(torch.stack(x, 1), final.normalized_shape, final.weight, final.bias)
    return torch.stack([row[e] for row, e in zip(x, eot, strict=True)]) @ model.text_projection


def variants(gen, width=128, classes=3):
    def draw(*shape):
        return torch.randn(*shape, generator=gen, dtype=torch.float64)

    return {
        "plain": {},
        "replace": {"replace": {2: draw(1, width), 3: draw(1, width)}},
        "replace from 1, one per class": {"replace": {1: draw(classes, 1, width), 3: draw(1, width)}},
        "insert": {"insert": {2: draw(4, width), 3: draw(4, width)}},
        "insert in the last block, one per class": {"insert": {3: draw(classes, 5, width)}},
        "insert from 1": {"insert": {1: draw(2, width), 2: draw(2, width), 3: draw(2, width)}},
    }


NAMES = list(variants(torch.Generator()))


def to_float(kwargs):
    return {name: {b: p.float() for b, p in prompts.items()} for name, prompts in kwargs.items()}


def test_equals_encode_text(vit):
    tokens = tokenize(TEXTS)
    encoder = TextEncoder(vit)
    features = encoder(encoder.embed(tokens), tokens.argmax(-1))
    torch.testing.assert_close(features, vit.encode_text(tokens), atol=1e-5, rtol=0)
    assert (encoder.width, encoder.depth, encoder.embed_dim, encoder.dtype) == (128, 3, 32, torch.float32)


@pytest.mark.parametrize("name", NAMES)
def test_equals_a_literal_implementation(vit64, gen, name):
    tokens, kwargs = tokenize(TEXTS), variants(gen)[name]
    encoder = TextEncoder(vit64)
    prompts, eot = encoder.embed(tokens), tokens.argmax(-1)
    expected = slow_text(vit64, prompts, eot, **kwargs)
    torch.testing.assert_close(encoder(prompts, eot, **kwargs), expected, atol=1e-10, rtol=0)


@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-5), (torch.float64, 1e-10)])
@pytest.mark.parametrize("name", NAMES)
def test_cut_equals_77_tokens(vit, vit64, gen, name, dtype, tolerance):
    model = vit if dtype == torch.float32 else vit64
    tokens, kwargs = tokenize(TEXTS), variants(gen)[name]
    kwargs = to_float(kwargs) if dtype == torch.float32 else kwargs
    results = []
    for truncate in (True, False):
        encoder = TextEncoder(model, truncate=truncate)
        prompts = encoder.embed(tokens).requires_grad_()
        deep = {kind: {b: p.clone().requires_grad_() for b, p in given.items()} for kind, given in kwargs.items()}
        features = normalize(encoder(prompts, tokens.argmax(-1), **deep))
        features[:, ::3].square().sum().backward()
        grads = [p.grad for given in deep.values() for p in given.values()]
        results.append([features.detach(), prompts.grad, *grads])
    for cut, full in zip(*results, strict=True):
        torch.testing.assert_close(cut, full, atol=tolerance, rtol=0)


def test_shorter_prompts_are_taken_as_cut(vit):
    tokens = tokenize(TEXTS)
    encoder, eot = TextEncoder(vit), tokens.argmax(-1)
    cut = encoder.embed(tokens[:, : int(eot.max()) + 3])
    torch.testing.assert_close(encoder(cut, eot), vit.encode_text(tokens), atol=1e-5, rtol=0)


def test_encode_texts(vit):
    texts = [*TEXTS, "bird", TEXTS[0], "a drawing of a tree"]
    expected = normalize(vit.encode_text(tokenize(texts)))
    for batch_size in (256, 2):
        features = TextEncoder(vit).encode_texts(texts, batch_size=batch_size)
        torch.testing.assert_close(features, expected, atol=1e-5, rtol=0)
        assert features.dtype == torch.float32
        assert not features.requires_grad
        assert torch.equal(features[0], features[4])
    assert TextEncoder(vit).encode_texts([]).shape == (0, 32)


def test_encode_texts_encodes_each_text_once(vit, monkeypatch):
    rows = []
    call = TextEncoder.__call__
    monkeypatch.setattr(TextEncoder, "__call__", lambda self, p, *a: rows.append(p.shape[:2]) or call(self, p, *a))
    TextEncoder(vit).encode_texts([TEXTS[1], "dog", "dog", "cat", TEXTS[1]], batch_size=2)
    assert [n for n, _ in rows] == [2, 1]
    assert rows[0][1] == 3  # "dog" and "cat" go together: SOS, word, EOT


@pytest.mark.parametrize(
    "kwargs, words",
    [
        ({"replace": {4: torch.zeros(1, 128)}}, ["block 4", "3 blocks"]),
        ({"insert": {2: torch.zeros(1, 128), 12: torch.zeros(1, 128)}}, ["block 12", "3 blocks"]),
        ({"insert": {0: torch.zeros(1, 128)}}, ["block 0"]),
        ({"insert": {2: torch.zeros(1, 32)}}, ["[1, 32]", "128"]),
        ({"insert": {2: torch.zeros(1, 128), 3: torch.zeros(2, 128)}}, ["equally many", "[1, 2]"]),
        ({"replace": {2: torch.zeros(30, 128)}}, ["30 prompt tokens"]),
        ({"replace": {2: torch.zeros(1, 128)}, "insert": {2: torch.zeros(1, 128)}}, ["not both"]),
    ],
)
def test_bad_prompts(vit, kwargs, words):
    tokens, encoder = tokenize(TEXTS), TextEncoder(vit)
    with pytest.raises(InputError) as caught:
        encoder(encoder.embed(tokens), tokens.argmax(-1), **kwargs)
    assert all(word in str(caught.value) for word in words), caught.value


def test_too_deep_or_too_long(vit):
    tokens, encoder = tokenize(TEXTS), TextEncoder(vit)
    eot = tokens.argmax(-1)
    with pytest.raises(InputError, match="78 tokens"):
        encoder(torch.zeros(3, 78, 128), eot)


def test_is_no_module_and_leaves_clip_frozen(vit, gen):
    encoder = TextEncoder(vit)
    assert not isinstance(encoder, torch.nn.Module)
    tokens = tokenize(TEXTS)
    prompt = torch.randn(2, 128, generator=gen).requires_grad_()
    encoder(encoder.embed(tokens), tokens.argmax(-1), insert={2: prompt}).sum().backward()
    assert prompt.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in vit.parameters())
