"""Backbones of OpenAI's layout with another activation, other heads or widths: LAION, DataComp, DFN, MetaCLIP."""

from __future__ import annotations

import json

import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
from open_clip_random import random_model

import clipkit
from clipkit import ImageEncoder, InputError, TextEncoder, load_clip
from clipkit.ops import block_forward

pytest.importorskip("open_clip")

SETTINGS = {
    "embed_dim": 48,
    "vision_cfg": {"image_size": 32, "layers": 3, "width": 160, "head_width": 80, "patch_size": 8, "mlp_ratio": 4.3637},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 128, "heads": 4, "layers": 3, "mlp_ratio": 3.7362},
}
TEXTS = ["a photo of a cat.", "a dog", "a blurry picture of a very large elephant in the rain."]


@pytest.fixture(scope="module", params=[False, True], ids=["gelu", "quick_gelu"])
def pair(request, tmp_path_factory):
    """(open_clip's model, ours, the folder that ours was read from)."""
    settings = SETTINGS | {"quick_gelu": request.param}
    model = random_model(settings)
    folder = tmp_path_factory.mktemp("open_clip")
    safetensors.torch.save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": settings, "preprocess_cfg": {"size": 32}}))
    return model, load_clip("", str(folder / "open_clip_model.safetensors")), folder


def close(ours, theirs):
    torch.testing.assert_close(ours, theirs, atol=1e-5 * float(theirs.norm(dim=-1).max()), rtol=0)


def test_features_are_open_clip_s_with_and_without_a_gradient(pair, gen):
    theirs, ours, _ = pair
    image, text, front = torch.randn(3, 3, 32, 32, generator=gen), TextEncoder(ours), ImageEncoder(ours)
    close(front(image), theirs.encode_image(image))
    close(front(image.clone().requires_grad_()).detach(), theirs.encode_image(image))
    ids = clipkit.tokenize(TEXTS)
    expected = theirs.encode_text(ids)
    close(text.encode_texts(TEXTS), F.normalize(expected, dim=-1))
    close(text.encode(text.split_texts(TEXTS)), expected)
    close(text(text.embed(ids).requires_grad_(), ids.argmax(-1)).detach(), expected)
    close(ours.encode_text(ids), expected)  # the stock forward too
    close(ours.encode_image(image), theirs.encode_image(image))


def test_deep_and_inserted_prompts_are_those_of_a_plain_loop(pair, gen):
    theirs, ours, _ = pair
    ids = clipkit.tokenize(TEXTS)
    deep = {b: torch.randn(2, 128, generator=gen) for b in (2, 3)}
    for replace in (True, False):
        x = theirs.token_embedding(ids) + theirs.positional_embedding
        for b, block in enumerate(theirs.transformer.resblocks, start=1):
            if b in deep:
                after = 3 if replace or b == 3 else 1
                x = torch.cat([x[:, :1], deep[b].expand(3, -1, -1), x[:, after:]], dim=1)
            mask = torch.full((x.shape[1], x.shape[1]), float("-inf")).triu(1)
            x = block(x, attn_mask=mask)
        row = ids.argmax(-1) + (0 if replace else 2)
        expected = theirs.ln_final(x)[torch.arange(3), row] @ theirs.text_projection
        encoder = TextEncoder(ours)
        kind = "replace" if replace else "insert"
        close(encoder(encoder.embed(ids), ids.argmax(-1), **{kind: deep}), expected)
        close(encoder.encode(encoder.split_texts(TEXTS), **{kind: deep}), expected)


def test_visual_prompts_are_those_of_a_plain_loop(pair, gen):
    theirs, ours, _ = pair
    image, visual = torch.randn(2, 3, 32, 32, generator=gen), theirs.visual
    deep = {b: torch.randn(2, 160, generator=gen) for b in (2, 3)}
    x = visual._embeds(image)
    for b, block in enumerate(visual.transformer.resblocks, start=1):
        if b in deep:
            x = torch.cat([x[:, :1], deep[b].expand(2, -1, -1), x[:, 1 if b == 2 else 3 :]], dim=1)
        x = block(x)
    expected = visual.ln_post(x)[:, 0] @ visual.proj
    close(ImageEncoder(ours)(image, insert=deep), expected)


def test_the_activation_alone_changes_the_fingerprint(pair, tmp_path):
    _, ours, folder = pair
    other = json.loads((folder / "open_clip_config.json").read_text())
    other["model_cfg"]["quick_gelu"] = not other["model_cfg"]["quick_gelu"]
    (tmp_path / "c.json").write_text(json.dumps(other))
    file = str(folder / "open_clip_model.safetensors")
    assert clipkit.fingerprint(load_clip("", file, spec=str(tmp_path / "c.json"))) != clipkit.fingerprint(ours)
    assert clipkit.fingerprint(load_clip("", file)) == clipkit.fingerprint(ours)


def test_blocks_that_are_asked_for_by_themselves_are_right_too(pair, gen):
    theirs, ours, _ = pair
    x = torch.randn(2, 5, 128, generator=gen)
    close(block_forward(ours.transformer.resblocks[0], x, causal=False), theirs.transformer.resblocks[0](x))


def test_an_older_file_with_a_scale_of_one_number_in_a_list(pair, tmp_path):
    theirs, ours, folder = pair
    state = theirs.state_dict() | {"logit_scale": torch.tensor([2.5])}
    torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}}, tmp_path / "epoch_32.pt")
    (tmp_path / "open_clip_config.json").write_bytes((folder / "open_clip_config.json").read_bytes())
    assert load_clip("", str(tmp_path / "epoch_32.pt")).logit_scale.shape == ()


def test_a_file_without_its_configuration_is_refused(pair, tmp_path):
    theirs, _, _ = pair
    torch.save(theirs.state_dict(), tmp_path / "alone.pt")
    with pytest.raises(InputError, match="no multiples of 64.*open_clip_config.json"):
        load_clip("", str(tmp_path / "alone.pt"))
