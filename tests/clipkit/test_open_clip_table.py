"""Every configuration that open_clip has is read right or refused by name; none is read wrongly in silence."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from open_clip_random import random_model, small

import clipkit
from clipkit import ImageEncoder, InputError
from clipkit.backbone_spec import BackboneSpec
from clipkit.from_weights import configured
from clipkit.open_clip_config import spec_from_config

open_clip = pytest.importorskip("open_clip")

NAMES = open_clip.list_models()
PLAIN = [
    name for name in NAMES
    if not {"timm_model_name", "hf_model_name"} & {*open_clip.get_model_config(name)["vision_cfg"],
                                                   *open_clip.get_model_config(name)["text_cfg"]}
]  # fmt: skip
# Why a configuration is refused, and how many are: CLIPA, CoCa, mT5 and NLLB, layer scale.
REFUSED = {"strip_sep_token": 6, "multimodal_cfg": 4, "hf_model_name": 6, "ls_init_value": 1}


def spec_of_name(name: str) -> BackboneSpec:
    return spec_from_config(open_clip.get_model_config(name), {}, name)


def refusal(name: str) -> str:
    try:
        spec_of_name(name)
    except InputError as error:
        return str(error)
    return ""


def test_those_that_are_refused_are_refused_by_name(capsys):
    refused = {name: text for name in NAMES if (text := refusal(name))}
    families = Counter(spec_of_name(name).family for name in NAMES if name not in refused)
    with capsys.disabled():
        sys.stdout.write(f" {len(NAMES)} configurations, refused {len(refused)}, read {dict(families)} ")
    counts = {key: sum(key in text for text in refused.values()) for key in REFUSED}
    assert counts == REFUSED and len(refused) == sum(REFUSED.values())
    assert all(name in text and "which is not known" in text for name, text in refused.items())


@pytest.mark.parametrize("name", [name for name in PLAIN if not refusal(name)])
def test_the_others_of_plain_structure_are_right(name, gen):
    """At a small size: the same activation, widths of heads, ratio of the MLPs, mask, pooling, epsilon."""
    settings = small(open_clip.get_model_config(name))
    if settings["text_cfg"].get("hf_tokenizer_name"):
        pytest.skip("its tokenizer is on the hub")
    theirs = random_model(settings)
    ours = configured(theirs.state_dict(), settings, {}, Path(name), name).eval()
    size = settings["vision_cfg"]["image_size"]
    image, ids = torch.randn(2, 3, size, size, generator=gen), clipkit.tokenize(["a cat", "two small dogs"])
    with torch.no_grad():
        expected, ours_image = theirs.encode_image(image), ImageEncoder(ours)(image)
        torch.testing.assert_close(ours_image, expected, atol=1e-5 * float(expected.abs().max()), rtol=1e-4)
        encoder = clipkit.TextEncoder(ours)
        text = encoder(encoder.embed(ids), encoder.tokenizer.eot(ids))
        torch.testing.assert_close(text, theirs.encode_text(ids), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", [name for name in PLAIN if not refusal(name)])
def test_sizes_at_their_full_size(name):
    """Heads and MLP widths of the spec are those that open_clip builds from the configuration."""
    settings, spec = open_clip.get_model_config(name), spec_of_name(name)
    assert spec.preprocess.size == settings["vision_cfg"]["image_size"]
    resnet = isinstance(settings["vision_cfg"]["layers"], list)
    settings["vision_cfg"]["layers"] = [1, 1, 1, 1] if resnet else 1
    settings["text_cfg"]["layers"] = 1
    with torch.device("meta"):
        theirs = open_clip.model.CLIP(**settings)
    block = theirs.transformer.resblocks[0]
    assert (spec.text.heads, spec.text.hidden) == (block.attn.num_heads, block.mlp.c_fc.out_features)
    if not resnet:
        block = theirs.visual.transformer.resblocks[0]
        assert (spec.image.heads, spec.image.hidden) == (block.attn.num_heads, block.mlp.c_fc.out_features)


def test_what_each_tag_says():
    """Activation, mean, deviation and size of every downloadable model of plain structure."""
    from clipkit.open_clip_names import described

    wrong, count = [], 0
    for name, tag in open_clip.list_pretrained():
        if name not in PLAIN or refusal(name):
            continue
        settings, preprocess = described(name, tag)
        spec = spec_from_config(settings, preprocess, name)
        given = open_clip.get_pretrained_cfg(name, tag)
        quick = spec.text.activation == "quick_gelu"
        count += 1
        if quick != bool(given.get("quick_gelu")) or spec.preprocess.mean != tuple(given["mean"]):
            wrong.append((name, tag))
    assert not wrong and count > 100
