import pytest
import torch

from clipkit import ContextPrompts, InputError, TextEncoder, tokenize

NAMES = ["cat", "steam_locomotive", "Boeing 737-800", "jack-o'-lantern"]


def features(model, prompts, ctx, **kwargs):
    return TextEncoder(model)(prompts(ctx), prompts.eot, **kwargs)


def words(model, text):
    """Embeddings of the words of a text, without start and end."""
    tokens = tokenize(text)
    return model.token_embedding(tokens)[0, 1 : tokens.argmax()]


@pytest.mark.parametrize(
    "position, sentence",
    [("end", "a photo of a {}."), ("middle", "a photo {} of a."), ("front", "{} a photo of a.")],
)
@pytest.mark.parametrize("ctx_text", [None, "a photo of a"])
def test_positions_equal_literal_text(vit, position, sentence, ctx_text):
    prompts = ContextPrompts(vit, NAMES, 4, ctx_text=ctx_text, position=position)
    ctx = words(vit, "a photo of a")
    expected = vit.encode_text(tokenize([sentence.format(name.replace("_", " ")) for name in NAMES]))
    torch.testing.assert_close(features(vit, prompts, ctx), expected, atol=1e-5, rtol=0)
    per_class = ctx.expand(len(NAMES), -1, -1)
    torch.testing.assert_close(features(vit, prompts, per_class), expected, atol=1e-5, rtol=0)


def test_each_class_gets_its_own_context(vit, gen):
    prompts = ContextPrompts(vit, NAMES, 3, position="middle")
    ctx = torch.randn(len(NAMES), 3, 128, generator=gen)
    together = prompts(ctx)
    for i in range(len(NAMES)):
        assert torch.equal(together[i], prompts(ctx[i])[i])
    per_image = torch.randn(2, 1, 3, 128, generator=gen)
    assert torch.equal(prompts(per_image), torch.stack([prompts(c[0]) for c in per_image]))


def test_first_words_learned_the_rest_fixed(vit):
    prompts = ContextPrompts(vit, NAMES, 2, ctx_text="a photo of a")
    assert prompts.texts[1] == "a photo of a steam locomotive."
    assert torch.equal(prompts.init_context(), words(vit, "a photo"))
    assert torch.equal(prompts.token_suffix[0, :3], words(vit, "of a cat"))
    expected = vit.encode_text(tokenize(prompts.texts))
    torch.testing.assert_close(features(vit, prompts, prompts.init_context()), expected, atol=1e-5, rtol=0)


def test_template(vit):
    prompts = ContextPrompts(vit, ["cat"], 4, template="{ctx} {name}, a type of pet.")
    assert prompts.texts == ["X X X X cat, a type of pet."]
    expected = vit.encode_text(tokenize("a photo of a cat, a type of pet."))
    torch.testing.assert_close(features(vit, prompts, words(vit, "a photo of a")), expected, atol=1e-5, rtol=0)


def test_sizes_and_buffers(vit):
    prompts = ContextPrompts(vit, NAMES, 16)
    lengths = tokenize(prompts.texts).argmax(-1) + 1
    assert prompts.length == lengths.max() < 77
    assert torch.equal(prompts.eot, lengths - 1)
    assert prompts.name_lens == [1, 2, 8, 5]
    assert prompts.token_prefix.shape == (4, 1, 128)
    assert prompts.token_suffix.shape == (4, prompts.length - 17, 128)
    assert prompts(torch.zeros(16, 128)).shape == (4, prompts.length, 128)
    assert prompts.state_dict() == {}
    assert list(prompts.parameters()) == []


@pytest.mark.parametrize("position", ["end", "middle", "front"])
@pytest.mark.parametrize("kind", ["plain", "replace", "insert"])
def test_cut_equals_77_tokens(vit64, gen, position, kind):
    start = torch.randn(4, 128, generator=gen, dtype=torch.float64)
    deep = {} if kind == "plain" else {kind: {b: torch.randn(4, 128, generator=gen).double() for b in (2, 3)}}
    results = []
    for truncate in (True, False):
        prompts = ContextPrompts(vit64, NAMES, 4, position=position, truncate=truncate)
        assert (prompts.length == 77) is not truncate
        ctx = start.clone().requires_grad_()
        out = TextEncoder(vit64, truncate=truncate)(prompts(ctx), prompts.eot, **deep)
        out.square().sum().backward()
        results.append((out.detach(), ctx.grad))
    for cut, full in zip(*results, strict=True):
        torch.testing.assert_close(cut, full, atol=1e-10, rtol=0)


def test_context_in_fp32_on_fp16_weights(vit):
    prompts = ContextPrompts(vit, NAMES, 2).half()
    assert prompts(torch.zeros(2, 128)).dtype == torch.float16


@pytest.mark.parametrize(
    "kwargs, message",
    [
        ({"classnames": []}, "at least one class name"),
        ({"position": "back"}, "'back'.*end, middle, front"),
        ({"n_ctx": 0}, "1 or more"),
        ({"n_ctx": 5, "ctx_text": "a photo of a"}, "5 context tokens.*has 4"),
        ({"n_ctx": 2, "ctx_text": "a photo of a", "position": "middle"}, "middle"),
        ({"template": "a {name} {ctx}"}, "must begin"),
        ({"n_ctx": 75}, "prompt of a class has 79 tokens.*at most 77"),
    ],
)
def test_bad_input(vit, kwargs, message):
    with pytest.raises(InputError, match=message):
        ContextPrompts(vit, **{"classnames": ["cat"], "n_ctx": 4, **kwargs})


def test_random_context_has_no_words_to_start_from(vit):
    with pytest.raises(InputError, match="ctx_text"):
        ContextPrompts(vit, NAMES, 4).init_context()
