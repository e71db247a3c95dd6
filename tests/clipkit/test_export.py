"""Checkpoints from the reference form to ours and back: nothing is lost, nothing is executed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from clip.model import convert_weights
from reference_files import LEARNED, frozen, learned, save_reference
from safetensors.torch import load_file, save_file

from clipkit import InputError, fingerprint, load_clip, tokenize
from clipkit.__main__ import run
from clipkit.checkpoint_file import read_checkpoint
from clipkit.describe import describe
from clipkit.export import full_checkpoint, learnable_checkpoint, write_checkpoint

NAMES = ["lighthouse", "tall_ship", "grey heron"]
# What the references save and never read at test; a full checkpoint of ours does without it.
NEVER_READ = ("bias_vectors", "meta_net.linear1", "prompt_learner.ZS_image_encoder", "model_distill")
UNWRITTEN = ("representation_learner.prompt_embeddings",)  # dropped by the reference when loading


@pytest.fixture(scope="module")
def backbone(tiny) -> Path:
    return tiny.backbone


@pytest.fixture(scope="module")
def half(backbone):
    """The tiny CLIP as OpenAI's fp16 leaves it."""
    model = load_clip("", str(backbone))
    convert_weights(model)
    return model


def ours(file: Path, method: str, values: dict | None = None, **entries: object) -> Path:
    """A checkpoint as our trainers save it."""
    write_checkpoint({"state_dict": values or learned(method), "epoch": 5, **entries}, file)
    return file


@pytest.mark.parametrize("method", LEARNED)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_slimming_a_reference_file_leaves_what_was_learned(method, dtype, half, tmp_path):
    file = save_reference(tmp_path, method, half, dtype=dtype)
    slim = learnable_checkpoint(file)
    expected = learned(method, dtype=dtype)
    assert set(slim["state_dict"]) == set(expected)
    for key, value in expected.items():
        assert slim["state_dict"][key].dtype == dtype and torch.equal(slim["state_dict"][key], value), key
    assert slim["epoch"] == 5 and slim["optimizer"] is None and slim["scheduler"] is None
    write_checkpoint(slim, tmp_path / "slim")
    assert (tmp_path / "slim").stat().st_size < file.stat().st_size


@pytest.mark.parametrize("method", LEARNED)
def test_a_full_file_has_the_keys_shapes_and_types_of_the_reference(method, half, backbone, tmp_path):
    full = full_checkpoint(ours(tmp_path / "slim", method), str(backbone), NAMES)["state_dict"]
    reference = {k: v for k, v in frozen(method, half).items() if not k.startswith((*NEVER_READ, *UNWRITTEN))}
    if method in ("CoCoOp", "TCP"):
        assert {k for k in full if k.startswith("meta_net")} == {k for k in learned(method) if k.startswith("meta_net")}
    assert set(full) == set(reference) | set(learned(method))
    for key, value in reference.items():
        if "token_" in key:
            assert full[key].shape == (len(NAMES), *value.shape[1:]) and full[key].dtype == value.dtype, key
        else:
            assert full[key].dtype == value.dtype and torch.equal(full[key], value), key
    for key, value in learned(method).items():
        assert torch.equal(full[key], value), key


@pytest.mark.parametrize("method", LEARNED)
def test_ours_to_full_and_back_is_the_same(method, backbone, tmp_path):
    entries = {"run": {"TRAINER.NAME": method, "SEED": 1}, "classnames": ["a", "b"], "val_result": 83.5}
    file = ours(tmp_path / "ours", method, **entries)
    write_checkpoint(full_checkpoint(file, str(backbone), NAMES), tmp_path / "full")
    back = learnable_checkpoint(tmp_path / "full")
    for key, value in learned(method).items():
        assert torch.equal(back["state_dict"][key], value), key
    assert len(back["state_dict"]) == len(learned(method))
    assert {key: back[key] for key in entries} == entries and back["epoch"] == 5


def test_class_name_buffers_are_the_embedded_prompts(half, backbone, tmp_path):
    """CoOp's from its place holders; MaPLe learns two of "a photo of a", and "of a" stays in the suffix."""
    cases = {"CoOp": ("", "X " * 16, 16), "MaPLe": ("prompt_learner.", "a photo of a ", 2)}
    for method, (prefix, words, n) in cases.items():
        full = full_checkpoint(ours(tmp_path / method, method), str(backbone), NAMES)["state_dict"]
        tokens = tokenize([f"{words}{name.replace('_', ' ')}." for name in NAMES])
        embedding = half.token_embedding(tokens).type(half.dtype)
        assert torch.equal(full[prefix + "token_prefix"], embedding[:, :1])
        assert torch.equal(full[prefix + "token_suffix"], embedding[:, 1 + n :])


def test_tcp_takes_its_dataset_s_text(half, backbone, tmp_path):
    file = ours(tmp_path / "tcp", "TCP")
    full = full_checkpoint(file, str(backbone), NAMES, template="{ctx} {name}, a type of pet.")["state_dict"]
    tokens = tokenize([f"X X X X {name.replace('_', ' ')}, a type of pet." for name in NAMES])
    assert torch.equal(full["token_suffix"], half.token_embedding(tokens).type(half.dtype)[:, 5:])


def test_fp32_and_the_record_in_place_of_options(backbone, tmp_path):
    record = {"MODEL.BACKBONE": str(backbone), "backbone": fingerprint(load_clip("", str(backbone)))}
    file = ours(tmp_path / "maple", "MaPLe", run=record, classnames=NAMES[:2])
    full = full_checkpoint(file, precision="fp32")["state_dict"]
    assert {value.dtype for value in full.values()} == {torch.float32}
    assert full["prompt_learner.token_prefix"].shape == (2, 1, 64)


@pytest.mark.parametrize("trained", ["fp32", "fp16"])
def test_weights_that_fp16_cannot_hold_are_known_again(trained, backbone, tmp_path):
    """Their fingerprint depends on the precision of the run, which the export's need not be."""
    weights = load_file(backbone)
    third = {key: value.float() / 3 if value.is_floating_point() else value for key, value in weights.items()}
    save_file(third, tmp_path / "third.safetensors", metadata={"clip_structure": "openai"})
    known = fingerprint(load_clip("", str(tmp_path / "third.safetensors"), trained))
    file = ours(
        tmp_path / "file", "CoOp", run={"backbone": known, "MODEL.BACKBONE": str(tmp_path / "third.safetensors")}
    )
    for precision in ("fp16", "fp32"):
        assert "token_prefix" in full_checkpoint(file, classnames=NAMES, precision=precision)["state_dict"]


def test_class_specific_contexts(backbone, tmp_path):
    file = ours(tmp_path / "csc", "CoOp", {"ctx": torch.randn(3, 4, 64)})
    assert full_checkpoint(file, str(backbone), NAMES)["state_dict"]["token_suffix"].shape == (3, 72, 64)
    with pytest.raises(InputError, match="each of 3 classes, but 2 names"):
        full_checkpoint(file, str(backbone), NAMES[:2])


def test_data_parallel_keys_lose_their_prefix(tmp_path):
    values = {f"module.{key}": value for key, value in learned("MaPLe").items()}
    assert set(learnable_checkpoint(ours(tmp_path / "x", "MaPLe", values))["state_dict"]) == set(learned("MaPLe"))


def explode(target: Path) -> None:
    target.touch()


class Bomb:
    """Pickled as a call of `call` on `target`."""

    def __init__(self, call, target: Path) -> None:
        self.call, self.target = call, target

    def __reduce__(self):
        return self.call, (self.target,)


@pytest.mark.parametrize(
    ("place", "call", "sentence"),
    [
        ("scheduler", explode, ""),
        ("state_dict", explode, "no state dict"),
        ("scheduler", Path.touch, ""),
        ("scheduler", os.mkdir, ""),
    ],
)
def test_nothing_in_a_file_is_executed(place, call, sentence, tmp_path):
    target = tmp_path / "exploded"
    entries = {"state_dict": {"ctx": torch.zeros(4, 64)}, "epoch": 1, "scheduler": None}
    entries[place] = {"x": Bomb(call, target)}
    torch.save(entries, tmp_path / "file")
    if sentence:
        with pytest.raises(InputError, match=sentence):
            read_checkpoint(tmp_path / "file")
    else:
        assert set(read_checkpoint(tmp_path / "file")["state_dict"]) == {"ctx"}
    assert not target.exists()


@pytest.mark.parametrize(
    ("values", "options", "sentence"),
    [
        ({"ctx": torch.zeros(4, 32)}, {}, "does not fit"),
        ({"image_encoder.transformer.resblocks.7.VPT_shallow": torch.zeros(2, 64)}, {}, "does not fit"),
        ({"ctx": torch.zeros(4, 64)}, {"classnames": []}, "does not say its class names"),
        ({"ctx": torch.zeros(4, 64)}, {"backbone": ""}, "does not say its backbone"),
        ({"ctx": torch.zeros(4, 64)}, {"backbone": "ViT-Z/9"}, "Unknown backbone"),
        ({"ctx": torch.zeros(4, 64)}, {"template": "{name} {ctx}"}, "template must begin"),
        ({"ctx": torch.zeros(4, 64), "noise_ctx": torch.zeros(4, 64)}, {}, "no reference form"),
        ({"weight": torch.zeros(4, 64)}, {}, "no tensor that a known method learns"),
    ],
)
def test_bad_input_is_one_sentence(values, options, sentence, backbone, tmp_path):
    file = ours(tmp_path / "file", "", values)
    with pytest.raises(InputError, match=sentence) as error:
        full_checkpoint(file, **{"backbone": str(backbone), "classnames": NAMES, **options})
    assert "\n" not in str(error.value)


def test_another_backbone_than_the_record_s_is_refused(backbone, tmp_path):
    file = ours(tmp_path / "file", "CoOp", run={"backbone": "0" * 64, "MODEL.BACKBONE": "ViT-B/16"})
    with pytest.raises(InputError, match="trained on ViT-B/16"):
        full_checkpoint(file, str(backbone), NAMES)


def test_damaged_and_missing_files_are_named(tmp_path):
    (tmp_path / "broken").write_bytes(b"PK\x03\x04 not really")
    torch.save([1, 2], tmp_path / "list")
    for name, sentence in (
        ("broken", "damaged"),
        ("list", "it is a list"),
        ("missing", "There is no checkpoint"),
    ):
        with pytest.raises(InputError, match=sentence) as error:
            read_checkpoint(tmp_path / name)
        assert str(tmp_path / name) in str(error.value)


def test_info_tells_learned_from_frozen(half, tmp_path):
    text = describe(save_reference(tmp_path, "PromptSRC", half))
    lines = {line.split()[0]: line for line in text.splitlines() if line.strip()}
    assert "epoch: 5" in text and "learnable" in lines["image_encoder.VPT"] and "4 x 64" in lines["image_encoder.VPT"]
    assert "class names" in lines["prompt_learner.token_suffix"] and "frozen" in lines["image_encoder.*"]
    assert "float16, float32" in lines["text_encoder.*"] and "image_encoder.conv1.weight" not in text
    assert "image_encoder.conv1.weight" in describe(tmp_path / "VLPromptLearner" / "model.pth.tar-5", every_key=True)


def test_the_command_line(backbone, tmp_path, capsys):
    slim, full, again = ours(tmp_path / "slim", "MaPLe"), tmp_path / "new" / "full", tmp_path / "again"
    names = tmp_path / "names.txt"
    names.write_text("\n".join(NAMES) + "\n\n")
    options = ["--full", "--backbone", str(backbone), "--classes", str(names), "--output", str(full)]
    assert run(["export", str(slim), *options]) == 0
    assert run(["export", str(full), "--learnable", "--output", str(again)]) == 0
    assert run(["info", str(again)]) == 0
    assert "prompt_learner.ctx" in capsys.readouterr().out
    for key, value in learned("MaPLe").items():
        assert torch.equal(torch.load(again, weights_only=True)["state_dict"][key], value)


@pytest.mark.parametrize(
    "arguments",
    [
        ["export", "SLIM", "--full", "--output", "OUT"],
        ["export", "missing", "--learnable", "--output", "OUT"],
        ["export", "SLIM", "--learnable", "--output", "SLIM"],
        ["export", "SLIM", "--full", "--classes", "missing.txt", "--output", "OUT"],
        ["info", "missing"],
    ],
)
def test_the_command_line_refuses_in_one_sentence(arguments, tmp_path, capsys):
    slim = ours(tmp_path / "slim", "CoOp")
    before = slim.read_bytes()
    named = {"SLIM": str(slim), "OUT": str(tmp_path / "sub" / "out")}
    assert run([named.get(x, x) for x in arguments]) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith("error: ") and shown.err.count("\n") == 1 and not shown.out
    assert slim.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["slim"]


@pytest.mark.parametrize("place", ["a folder", "under a file", "a pipe", "no file system's"])
def test_a_place_that_cannot_be_written_is_said_before_the_work(place, tmp_path, capsys, monkeypatch):
    slim = ours(tmp_path / "slim", "CoOp")
    os.mkfifo(tmp_path / "pipe")
    target = {"a folder": tmp_path, "under a file": slim / "x", "a pipe": tmp_path / "pipe"}.get(place, "/proc/x.tar")
    monkeypatch.setattr("clipkit.export.learnable_checkpoint", None)  # not reached
    assert run(["export", str(slim), "--learnable", "--output", str(target)]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith(f"error: --output {target} cannot be written") and shown.count("\n") == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["pipe", "slim"]


def test_a_backbone_file_that_is_missing_is_said_to_be(tmp_path):
    for file in ("/missing.pt", "weights/clip", "x.safetensors"):
        with pytest.raises(InputError, match="There is no CLIP file"):
            full_checkpoint(ours(tmp_path / "slim", "CoOp"), file, NAMES)
