import pytest
import torch

from clipkit import ImageEncoder, InputError


def slow_image(model, image, replace=None, insert=None):
    """The prompted image tower on the stock modules, token by token. Returns features and prompt token outputs."""
    visual, batch = model.visual, image.shape[0]
    x = visual.conv1(image).reshape(batch, visual.conv1.out_channels, -1).permute(0, 2, 1)
    x = torch.cat([visual.class_embedding.expand(batch, 1, -1), x], dim=1) + visual.positional_embedding
    x, replace, insert = list(x.unbind(1)), replace or {}, insert or {}
    n = next(iter({**replace, **insert}.values())).shape[-2] if replace or insert else 0
    if 1 in replace:
        x += list(replace[1].expand(batch, -1, -1).unbind(1))
    x = list(visual.ln_pre(torch.stack(x, 1)).unbind(1))
    for b, block in enumerate(visual.transformer.resblocks, start=1):
        if b in replace and b > 1:
            x = x[:-n] if b > min(replace) else x
            x += list(replace[b].expand(batch, -1, -1).unbind(1))
        if b in insert:
            x = x[:1] + list(insert[b].expand(batch, -1, -1).unbind(1)) + (x[1:] if b == min(insert) else x[1 + n :])
        x = list(block(torch.stack(x, 0)).unbind(0))
    x = visual.ln_post(torch.stack(x, 1))
    return x[:, 0] @ visual.proj, x[:, -n:] if replace else x[:, 1 : 1 + n]


@pytest.fixture
def image(gen):
    return torch.randn(2, 3, 32, 32, generator=gen)


def variants(gen):
    def draw(*shape):
        return torch.randn(*shape, generator=gen)

    return {
        "replace in 1": {"replace": {1: draw(2, 128)}},
        "replace in all": {"replace": {1: draw(2, 128), 2: draw(2, 128), 3: draw(2, 128)}},
        "replace from 2, one per image": {"replace": {2: draw(2, 3, 128), 3: draw(3, 128)}},
        "insert": {"insert": {2: draw(5, 128), 3: draw(5, 128)}},
        "insert in 1 and 3, one per image": {"insert": {1: draw(2, 1, 128), 3: draw(1, 128)}},
    }


def test_equals_encode_image(vit, resnet, image):
    encoder = ImageEncoder(vit)
    torch.testing.assert_close(encoder(image), vit.encode_image(image), atol=1e-5, rtol=0)
    assert (encoder.is_vit, encoder.width, encoder.depth, encoder.embed_dim, encoder.input_size) == (
        True, 128, 3, 32, 32,
    )  # fmt: skip
    encoder, image = ImageEncoder(resnet), torch.randn(2, 3, 64, 64)
    assert torch.equal(encoder(image), resnet.encode_image(image))
    assert (encoder.is_vit, encoder.width, encoder.depth, encoder.embed_dim, encoder.input_size) == (
        False, 16 * 32, 0, 32, 64,
    )  # fmt: skip


@pytest.mark.parametrize("name", list(variants(torch.Generator())))
def test_equals_a_literal_implementation(vit, gen, image, name):
    kwargs = variants(gen)[name]
    encoder = ImageEncoder(vit)
    features, tokens = encoder(image, **kwargs, return_tokens=True)
    expected, expected_tokens = slow_image(vit, image, **kwargs)
    torch.testing.assert_close(features, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(tokens, expected_tokens, atol=1e-5, rtol=0)
    torch.testing.assert_close(encoder(image, **kwargs), expected, atol=1e-5, rtol=0)
    assert (expected - vit.encode_image(image)).abs().max() > 1e-3  # the prompts matter


@pytest.mark.parametrize("kind", ["replace", "insert"])
def test_gradients(vit, gen, image, kind):
    results = []
    start = [torch.randn(2, 128, generator=gen) for _ in range(2)]
    for run in (
        lambda deep: ImageEncoder(vit)(image, **deep, return_tokens=True),
        lambda d: slow_image(vit, image, **d),
    ):
        prompts = [p.clone().requires_grad_() for p in start]
        features, tokens = run({kind: dict(zip((1, 3), prompts, strict=True))})
        (features.square().sum() + tokens[..., ::2].sum()).backward()
        results.append([p.grad for p in prompts])
    for ours, expected in zip(*results, strict=True):
        torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-4)
    assert all(parameter.grad is None for parameter in vit.parameters())


@pytest.mark.parametrize("until", [1, 2, 3])
def test_lower_and_the_rest_equal_the_whole(vit, gen, image, until):
    encoder = ImageEncoder(vit)
    insert = {b: torch.randn(2, 128, generator=gen) for b in range(until + 1, 4)}
    hidden = encoder.lower(image, until)
    assert hidden.shape == (2, 17, 128)
    split = encoder(hidden, insert=insert, start_block=until + 1)
    torch.testing.assert_close(split, encoder(image, insert=insert), atol=1e-6, rtol=0)


def test_lower_keeps_a_graph_only_for_images_that_learn(vit, image):
    encoder = ImageEncoder(vit)
    assert not encoder.lower(image, 2).requires_grad
    assert encoder.lower(image.requires_grad_(), 2).requires_grad
    with torch.no_grad():
        assert encoder(image).grad_fn is None


def test_resnet_refuses_prompts(resnet):
    encoder, image = ImageEncoder(resnet), torch.zeros(1, 3, 64, 64)
    resnet.backbone_name = "RN50"
    for call in (
        lambda: encoder(image, replace={1: torch.zeros(1, 512)}),
        lambda: encoder(image, insert={1: torch.zeros(1, 512)}),
        lambda: encoder(image, return_tokens=True),
        lambda: encoder.lower(image, 1),
    ):
        with pytest.raises(InputError, match="RN50 is a ResNet"):
            call()


@pytest.mark.parametrize(
    "kwargs, words",
    [
        ({"replace": {4: torch.zeros(1, 128)}}, ["block 4", "3 blocks"]),
        ({"replace": {1: torch.zeros(1, 64)}}, ["[1, 64]", "128"]),
        ({"replace": {1: torch.zeros(1, 128), 2: torch.zeros(2, 128)}}, ["equally many"]),
        ({"return_tokens": True}, ["replace"]),
        ({"replace": {1: torch.zeros(1, 128)}, "start_block": 2}, ["starts at 2"]),
    ],
)
def test_bad_prompts(vit, image, kwargs, words):
    with pytest.raises(InputError) as caught:
        ImageEncoder(vit)(image, **kwargs)
    assert all(word in str(caught.value) for word in words), caught.value
    with pytest.raises(InputError, match="3 blocks, 5 are asked for"):
        ImageEncoder(vit).lower(image, 5)


def test_images_are_counted_once_whatever_is_read_of_them(vit, image):
    """Also by encoders with changes in their blocks, and where a hidden state goes on through the tower."""
    encoder = ImageEncoder(vit)
    changed = encoder.changed({})
    for passes, read in enumerate(
        (
            lambda: encoder(image),
            lambda: changed(image),
            lambda: encoder(encoder.lower(image, until=1), start_block=2),
            lambda: encoder.with_patches(image),
            lambda: changed.with_attention(image),
        ),
        start=1,
    ):
        read()
        assert encoder.encoded == changed.encoded == passes * len(image)
