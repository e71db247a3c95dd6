"""Another image tower in a CLIP: strict loading, and a fingerprint of its own."""

from __future__ import annotations

import argparse
import hashlib
import json

import pytest
import torch
from helpers import make_clip
from safetensors.torch import save_file

from clipkit import InputError, fingerprint, load_backbone, load_clip, load_visual_weights

K = "MODEL.BACKBONE."


@pytest.fixture(scope="module")
def towers(tmp_path_factory):
    """A CLIP, and the image tower of another one."""
    folder = tmp_path_factory.mktemp("towers")
    own, other = make_clip(folder / "own.safetensors"), make_clip(folder / "other.safetensors", seed=7)
    return own, load_clip("", str(other)).visual.state_dict(), folder


def image(size: int = 16):
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("form", ["tecoa", "bare", "visual", "module", "safetensors", "key"])
def test_every_form_of_the_file(towers, form, tmp_path):
    own, tower, folder = towers
    file, key = tmp_path / "tower.pth.tar", ""
    args = argparse.Namespace(eps=4)  # checkpoints hold the arguments of their training
    if form == "tecoa":
        torch.save({"epoch": 10, "args": args, "vision_encoder_state_dict": tower}, file)
    elif form == "key":
        torch.save({"image": tower, "state_dict": {"x": torch.zeros(1)}}, file)
        key = "image"
    elif form == "safetensors":
        file = tmp_path / "tower.safetensors"
        save_file({k: v.contiguous() for k, v in tower.items()}, file)
    else:
        prefix = {"bare": "", "visual": "visual.", "module": "module.visual."}[form]
        torch.save({prefix + k: v for k, v in tower.items()}, file)
    node = {"NAME": "", "PATH": str(own), "VISUAL_WEIGHTS": str(file), "VISUAL_WEIGHTS_KEY": key}
    model = load_backbone(node)
    expected = load_clip("", str(folder / "other.safetensors"))
    assert torch.equal(model.encode_image(image()), expected.encode_image(image()))
    plain = load_clip("", str(own))
    assert torch.equal(model.token_embedding.weight, plain.token_embedding.weight)
    assert fingerprint(model) not in (fingerprint(plain), fingerprint(expected))
    assert model.visual_weights == hashlib.sha256(file.read_bytes()).hexdigest()
    assert not any(p.requires_grad for p in model.parameters())


def test_fingerprint_is_taken_anew(towers, tmp_path):
    own, tower, _ = towers
    model = load_clip("", str(own), "fp16")
    before = fingerprint(model)
    torch.save(tower, tmp_path / "tower.pt")
    load_visual_weights(model, tmp_path / "tower.pt")
    assert fingerprint(model) != before
    assert model.visual.conv1.weight.dtype == torch.float16


@pytest.mark.parametrize("wrong", ["missing", "unknown", "shape", "key", "nothing", "damaged", "no file"])
def test_what_does_not_fit_is_refused(towers, wrong, tmp_path):
    own, tower, _ = towers
    file, key, tower = tmp_path / "tower.pt", "", dict(tower)
    if wrong == "missing":
        del tower["ln_post.bias"]
    if wrong == "unknown":
        tower["ln_other.bias"] = torch.zeros(3)
    if wrong == "shape":
        tower["ln_post.bias"] = torch.zeros(3)
    found = {"key": {"tower": tower}, "nothing": {"epoch": 3}}.get(wrong, tower)
    key = "vision" if wrong == "key" else ""
    if wrong != "no file":
        torch.save(found, file)
    if wrong == "damaged":
        file.write_bytes(file.read_bytes()[:500])
    model = load_clip("", str(own))
    before = {k: v.clone() for k, v in model.visual.state_dict().items()}
    expected = {"missing": "ln_post.bias", "unknown": "ln_other.bias", "shape": "ln_post.bias", "key": "no 'vision'",
                "nothing": "no state dict", "damaged": "damaged", "no file": "no weights"}[wrong]  # fmt: skip
    with pytest.raises(InputError, match=expected):
        load_visual_weights(model, file, key)
    assert all(torch.equal(v, before[k]) for k, v in model.visual.state_dict().items())


def test_every_trainer_takes_the_tower(tiny, towers, tmp_path):
    """Results differ from the own tower's, the file's hash is recorded, features of one tower are not the other's."""
    _, tower, _ = towers
    file = tmp_path / "tower.pt"
    torch.save({"vision_encoder_state_dict": tower}, file)
    found = {}
    for name, pairs in (("own", {}), ("other", {K + "VISUAL_WEIGHTS": str(file)})):
        trainer = tiny.trainer(tmp_path / name, "ZeroshotCLIP", pairs)
        batch = next(iter(trainer.banked(trainer.test_loader)))
        found[name] = batch["img"]
        assert torch.allclose(batch["img"], trainer.frozen_image(next(iter(trainer.test_loader))["img"]), atol=1e-6)
    assert not torch.allclose(found["own"], found["other"])
    assert tiny.run(tmp_path / "run", "CoOp", pairs={K + "VISUAL_WEIGHTS": str(file), "OPTIM.MAX_EPOCH": 1}) == 0
    record = json.loads((tmp_path / "run" / "results.json").read_text())
    assert record["visual_weights"]["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert tiny.run(tmp_path / "plain", "CoOp", pairs={"OPTIM.MAX_EPOCH": 1}) == 0
    assert "VISUAL_WEIGHTS" not in (tmp_path / "plain" / "config.yaml").read_text()


def test_a_key_without_a_file_is_refused(tiny, tmp_path, capsys):
    assert tiny.run(tmp_path / "out", pairs={K + "VISUAL_WEIGHTS_KEY": "vision"}) == 2
    assert "no effect" in capsys.readouterr().err
    assert tiny.run(tmp_path / "out", pairs={K + "VISUAL_WEIGHTS": str(tmp_path / "none.pt")}) == 2
    assert not (tmp_path / "out").exists()
