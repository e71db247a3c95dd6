"""A file of weights is read as OpenAI's CLIP only where it is known, or said, to be one."""

from __future__ import annotations

import copy
import json

import pytest
import safetensors.torch
import torch
from foreign_files import ADVICE_OF_TORCH, CONTENT, NO_STATE, beside_the_tensors, payloads
from torch import nn

import clipkit
import predict
from clipkit import ImageEncoder, InputError, load_clip, load_visual_weights
from clipkit.__main__ import run as clipkit_command
from clipkit.load import EMBEDDED_FILE
from clipkit.structure import check_shapes

# open_clip's configuration of the `vit` fixture, if its activation were QuickGELU.
CONFIG = {
    "model_cfg": {
        "embed_dim": 32, "quick_gelu": True,
        "vision_cfg": {"image_size": 32, "layers": 3, "width": 128, "patch_size": 8},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 128, "heads": 2, "layers": 3},
    },
    "preprocess_cfg": {"mean": [0.48145466, 0.4578275, 0.40821073], "interpolation": "bicubic"},
}  # fmt: skip


@pytest.fixture(scope="module")
def plain(vit, tmp_path_factory):
    file = tmp_path_factory.mktemp("plain") / "model.pt"
    torch.save(vit.state_dict(), file)
    return file


def test_names_and_shapes_alone_are_not_enough(vit, plain, tmp_path):
    safetensors.torch.save_file(vit.state_dict(), tmp_path / "model.safetensors")
    torch.save({"state_dict": {f"module.{k}": v for k, v in vit.state_dict().items()}}, tmp_path / "trained.pt")
    for file in (plain, tmp_path / "model.safetensors", tmp_path / "trained.pt"):
        with pytest.raises(InputError, match="do not tell its activation.*MODEL.BACKBONE.SPEC openai") as caught:
            load_clip("", str(file))
        assert str(file) in str(caught.value) and "\n" not in str(caught.value)
        assert clipkit.fingerprint(load_clip("", str(file), spec="openai")) == clipkit.fingerprint(vit)


def test_what_openai_s_archives_have_beside_the_weights_is_enough(vit, tmp_path):
    sizes = {"input_resolution": 32, "context_length": 77, "vocab_size": 49408}
    state = vit.state_dict() | {key: torch.tensor(value) for key, value in sizes.items()}
    torch.save(state, tmp_path / "of_an_archive.pt")
    assert clipkit.fingerprint(load_clip("", str(tmp_path / "of_an_archive.pt"))) == clipkit.fingerprint(vit)


def test_a_file_may_say_so_itself_and_the_embedded_one_is_known(vit, tmp_path):
    safetensors.torch.save_file(vit.state_dict(), tmp_path / "a.safetensors", metadata={"clip_structure": "openai"})
    load_clip("", str(tmp_path / "a.safetensors"))
    (tmp_path / "copy.pt").write_bytes(EMBEDDED_FILE.read_bytes())
    load_clip("", str(tmp_path / "copy.pt"))


def config(**changes: object) -> dict:
    """CONFIG with other values; a key is `part__name`."""
    found = copy.deepcopy(CONFIG)
    for key, value in changes.items():
        *path, leaf = key.split("__")
        node = found
        for part in path:
            node = node[part]
        node[leaf] = value
    return found


def test_open_clip_s_configuration_of_the_same_structure_is_enough(plain, vit, tmp_path):
    file = tmp_path / "open_clip_model.pt"
    file.write_bytes(plain.read_bytes())
    for found in (CONFIG, CONFIG["model_cfg"], config(model_cfg__vision_cfg__patch_dropout=0.5)):
        (tmp_path / "open_clip_config.json").write_text(json.dumps(found), encoding="utf-8-sig")
        assert clipkit.fingerprint(load_clip("", str(file))) == clipkit.fingerprint(vit)
        load_clip("", str(plain), spec=str(tmp_path / "open_clip_config.json"))


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("model_cfg__quick_gelu", None, "quick_gelu None"),
        ("model_cfg__embed_dim", 64, "embed_dim 64 (the weights: 32)"),
        ("model_cfg__multimodal_cfg", {"width": 64}, "multimodal_cfg"),
        ("model_cfg__vision_cfg__head_width", 80, "head_width 80 (no divisor of the width 128)"),
        ("model_cfg__vision_cfg__pool_type", "avg", "pool_type avg"),
        ("model_cfg__vision_cfg__no_ln_pre", True, "no_ln_pre True"),
        ("model_cfg__vision_cfg__ls_init_value", 1e-4, "ls_init_value 0.0001"),
        ("model_cfg__vision_cfg__attentional_pool", True, "attentional_pool True"),
        ("model_cfg__vision_cfg__qk_norm", True, "qk_norm True"),
        ("model_cfg__vision_cfg__act_kwargs", {"approximate": "tanh"}, "act_kwargs"),
        ("model_cfg__vision_cfg__norm_kwargs", {"bias": False}, "norm_kwargs"),
        ("model_cfg__vision_cfg__image_size", 64, "image_size 64 (the weights: 32)"),
        ("model_cfg__vision_cfg__mlp_ratio", 2.0, "mlp.c_fc"),
        ("model_cfg__text_cfg__layers", 4, "layers 4 (the weights: 3)"),
        ("model_cfg__text_cfg__heads", 3, "heads 3 (no divisor"),
        ("model_cfg__text_cfg__pool_type", "last", "pool_type last"),
        ("model_cfg__text_cfg__pool_type", "eos", "pool_type eos"),
        ("model_cfg__text_cfg__vocab_size", 64000, "vocab_size 64000"),
        ("model_cfg__text_cfg__embed_cls", True, "embed_cls True"),
        ("model_cfg__text_cfg__tokenizer_kwargs", {"strip_sep_token": True}, "tokenizer_kwargs"),
        ("model_cfg__text_cfg__no_such_setting", 1, "no_such_setting 1"),
        ("model_cfg__text_cfg", None, "no open_clip configuration"),
        ("model_cfg", [1], "no open_clip configuration"),
        ("preprocess_cfg__resize_mode", "longest", "resize_mode longest"),
        ("preprocess_cfg__interpolation", "lanczos", "interpolation lanczos"),
    ],
)
@pytest.mark.parametrize("spec", ["", "openai"])
def test_another_structure_is_refused_by_naming_what_is_not_known(key, value, words, spec, plain, tmp_path):
    file = tmp_path / "model.pt"
    file.write_bytes(plain.read_bytes())
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config(**{key: value})))
    with pytest.raises(InputError) as caught:
        load_clip("", str(file), spec=spec)  # what lies beside the file is not overruled
    assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model_cfg__quick_gelu", False),
        ("model_cfg__vision_cfg__head_width", 32),
        ("model_cfg__text_cfg__heads", 4),
        ("model_cfg__vision_cfg__norm_kwargs", {"eps": 1e-6}),
        ("model_cfg__text_cfg__norm_kwargs", {"eps": 1e-6}),
        ("preprocess_cfg__mean", [0.5, 0.5, 0.5]),
        ("preprocess_cfg__resize_mode", "squash"),
    ],
)
def test_each_part_of_the_structure_is_read_and_is_part_of_the_fingerprint(key, value, plain, vit, tmp_path):
    (tmp_path / "c.json").write_text(json.dumps(config(**{key: value})))
    other = load_clip("", str(plain), spec=str(tmp_path / "c.json"))
    assert clipkit.fingerprint(other) != clipkit.fingerprint(vit)
    tokens = clipkit.tokenize(["a cat.", "two dogs"])
    same = torch.allclose(other.encode_text(tokens), vit.encode_text(tokens), atol=1e-7)
    image = torch.ones(1, 3, 32, 32)
    same_image = torch.allclose(other.encode_image(image), vit.encode_image(image), atol=1e-7)
    assert (same, same_image) == ("text_cfg" not in key and "quick" not in key,
                                  "vision_cfg" not in key and "quick" not in key)  # fmt: skip


@pytest.mark.parametrize(
    ("change", "words"),
    [({"vision_width": 1280}, "ViT-H"), ({"vocab_size": 901629}, "901,629"), ({"text_width": 96}, "multiples of 64")],
)
def test_what_the_shapes_rule_out_no_statement_lets_in(change, words, plain, vit):
    from clipkit.architecture import read_architecture

    found = read_architecture(vit.state_dict(), "file")._replace(**change)
    with pytest.raises(InputError, match=words):
        check_shapes(plain, found)


@pytest.mark.parametrize("spec", ["open_ai", "OpenAI ", "/nowhere/open_clip_config.json"])
def test_a_statement_that_is_none(spec, plain):
    with pytest.raises(InputError, match="MODEL.BACKBONE.SPEC is .* must be openai"):
        load_clip("", str(plain), spec=spec)
    with pytest.raises(InputError, match="describes the file MODEL.BACKBONE.PATH"):
        load_clip("Embedded", spec="openai")


def test_two_readings_of_one_file_have_two_fingerprints_and_other_features(vit, gen):
    """Activation and heads are part of the fingerprint; with and without a gradient the activation is the model's."""
    other = copy.deepcopy(vit)
    other._clipkit_fingerprint = None
    for block in other.visual.transformer.resblocks:
        block.mlp.gelu = nn.GELU()
    assert clipkit.fingerprint(other) != clipkit.fingerprint(vit)
    image = torch.randn(2, 3, 32, 32, generator=gen)
    expected = other.encode_image(image)
    assert not torch.allclose(expected, vit.encode_image(image), atol=1e-4)
    torch.testing.assert_close(ImageEncoder(other)(image), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(ImageEncoder(other)(image.requires_grad_()), expected, atol=1e-5, rtol=0)
    heads = copy.deepcopy(vit)
    heads._clipkit_fingerprint = None
    heads.transformer.resblocks[0].attn.num_heads = 4
    assert clipkit.fingerprint(heads) != clipkit.fingerprint(vit)


# ---------------------------------------------------------------------- files of a backbone, and of an image tower


def test_files_with_other_things_beside_the_weights(vit, tmp_path, gen):
    """As training scripts leave them: prefixes, arguments, and something that must not run."""
    target = tmp_path / "exploded"
    beside = beside_the_tensors() | payloads(target)
    torch.save({"state_dict": {f"module.{k}": v for k, v in vit.state_dict().items()}, **beside}, tmp_path / "whole.pt")
    assert clipkit.fingerprint(load_clip("", str(tmp_path / "whole.pt"), spec="openai")) == clipkit.fingerprint(vit)
    tower = {f"module.visual.{k}": v + 1 for k, v in vit.visual.state_dict().items()}
    torch.save({"state_dict": tower, **beside}, tmp_path / "tower.pt")
    model = copy.deepcopy(vit)
    load_visual_weights(model, tmp_path / "tower.pt")
    assert torch.equal(model.visual.proj, vit.visual.proj + 1) and not target.exists()


def readers(vit, plain):
    return {
        "MODEL.BACKBONE.PATH": lambda file: load_clip("", str(file), spec="openai"),
        "MODEL.BACKBONE.VISUAL_WEIGHTS": lambda file: load_visual_weights(copy.deepcopy(vit), file),
    }


@pytest.mark.parametrize("setting", ["MODEL.BACKBONE.PATH", "MODEL.BACKBONE.VISUAL_WEIGHTS"])
def test_what_is_no_file_of_weights_gets_its_own_sentence(setting, vit, plain, tmp_path):
    read = readers(vit, plain)[setting]
    file = tmp_path / "file.pt"
    for content, words in CONTENT.values():
        file.write_bytes(content)
        refused(read, file, setting, words)
    for content, words in NO_STATE.values():
        torch.save(content, file)
        refused(read, file, setting, words)


@pytest.mark.parametrize(
    ("change", "words"),
    [(lambda v: v * float("nan"), "not finite"), (lambda v: v.long(), "int64"), (lambda v: v[:-1], "shape")],
)
def test_weights_that_are_no_numbers(change, words, vit, plain, tmp_path):
    torch.save({**vit.state_dict(), "text_projection": change(vit.text_projection)}, tmp_path / "clip.pt")
    with pytest.raises(InputError, match=f"text_projection|{words}"):
        load_clip("", str(tmp_path / "clip.pt"), spec="openai")
    torch.save({**vit.visual.state_dict(), "ln_post.bias": change(vit.visual.ln_post.bias)}, tmp_path / "tower.pt")
    with pytest.raises(InputError, match=f"ln_post.bias.*{words}"):
        load_visual_weights(copy.deepcopy(vit), tmp_path / "tower.pt")


def refused(read, file, setting: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        read(file)
    text = str(caught.value)
    assert words in text and str(file) in text and setting in text and "\n" not in text, text
    assert not any(word in text for word in ADVICE_OF_TORCH)


@pytest.mark.parametrize(
    ("key", "words"),
    [("vision_model.embeddings", "Hugging Face"), ("text.ln_final.weight", "another family"),
     ("prompt_learner.ctx", "prompt-learning run"), ("conv1.weight", "image tower alone")],
)  # fmt: skip
def test_weights_under_other_names_are_recognised(key, words, tmp_path):
    torch.save({key: torch.ones(2)}, tmp_path / "file.pt")
    with pytest.raises(InputError, match=words):
        load_clip("", str(tmp_path / "file.pt"), spec="openai")


@pytest.mark.parametrize("name", ["/missing/ViT-B-16.pt", "weights.safetensors", "./clip/ViT-B-16.pt"])
def test_a_file_in_the_place_of_a_name(name):
    with pytest.raises(InputError, match="MODEL.BACKBONE.PATH"):
        load_clip(name)


def test_a_statement_is_no_part_of_what_identifies_a_run(tiny, tmp_path, capsys):
    """So that runs made without it go on with it; and every way to give a backbone's file has it."""
    flags, stated = ("--eval-only",), {"MODEL.BACKBONE.SPEC": "openai"}
    assert tiny.run(tmp_path / "run", "ZeroshotCLIP", flags) == 0
    assert tiny.run(tmp_path / "run", "ZeroshotCLIP", flags, stated) == 0
    assert "Finished already" in capsys.readouterr().out
    unsaid = tmp_path / "unsaid.safetensors"
    safetensors.torch.save_file(safetensors.torch.load_file(tiny.backbone), unsaid)
    pairs = {"MODEL.BACKBONE.PATH": unsaid}
    assert tiny.run(tmp_path / "other", "ZeroshotCLIP", flags, pairs) == 2
    assert "MODEL.BACKBONE.SPEC" in capsys.readouterr().err and not (tmp_path / "other").exists()
    assert tiny.run(tmp_path / "other", "ZeroshotCLIP", flags, pairs | stated) == 0
    own, other = (json.loads((tmp_path / name / "results.json").read_text()) for name in ("run", "other"))
    assert own["backbone"]["sha256"] == other["backbone"]["sha256"] and own["results"] == other["results"]
    ctx = tmp_path / "ctx"
    torch.save({"state_dict": {"ctx": torch.zeros(4, 64)}}, ctx)
    export = ["export", str(ctx), "--full", "--backbone", str(unsaid), "--classes", str(tmp_path / "names.txt")]
    (tmp_path / "names.txt").write_text("a\nb\n")
    assert clipkit_command([*export, "--output", str(tmp_path / "full")]) == 2
    assert clipkit_command([*export, "--output", str(tmp_path / "full"), "--backbone-spec", "openai"]) == 0
    image = next((tiny.root / "tiny" / "images").glob("*.png"))
    ask = ["--model-dir", str(tmp_path / "run"), "--backbone-path", str(unsaid), str(image)]
    assert predict.run(ask) == 2
    assert predict.run([*ask, "--backbone-spec", "openai"]) == 0
