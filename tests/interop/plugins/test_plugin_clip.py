"""The run's backbone under the names by which trainers of the field load CLIP."""

from __future__ import annotations

import pytest
import torch
from plugin_files import MAPLE, trainer_file
from safetensors.torch import load_file, save_file

from clipkit import load_clip
from dassl.utils import InputError
from interop.plugins import clip_names
from interop.plugins.clip_names import serving
from interop.plugins.loading import load_plugin


@pytest.fixture(scope="module")
def clip():
    return load_plugin(trainer_file("FieldCoOp")).clip


def read(clip, name: str) -> dict:
    """As the field does: TorchScript, or else a state dict."""
    path = clip._download(clip._MODELS[name])
    with pytest.raises(RuntimeError):
        torch.jit.load(path, map_location="cpu")
    return torch.load(path, map_location="cpu")


def test_the_embedded_clip(clip):
    with serving({"NAME": "Embedded", "PATH": ""}):
        assert "Embedded" in clip._MODELS and clip._MODELS.get("Embedded")
        model = clip.build_model(read(clip, "Embedded")).float()
    image = torch.rand(2, 3, 48, 48)
    ours = load_clip("Embedded")
    with torch.no_grad():
        torch.testing.assert_close(model.encode_image(image), ours.encode_image(image), atol=1e-4, rtol=1e-4)
        words = clip.tokenize(["a photo of the digit seven."])
        torch.testing.assert_close(model.encode_text(words), ours.encode_text(words), atol=1e-4, rtol=1e-4)
    assert "Embedded" not in clip._MODELS  # when the run is over


@pytest.mark.parametrize("name", ["", "ViT-B/16"])
def test_a_local_file_under_whatever_name(clip, name, tiny, tmp_path, monkeypatch):
    """A file without a name; and a file for a name (whose architecture is not looked at here)."""
    monkeypatch.setattr(clip_names, "load_backbone", lambda backbone: load_clip("", backbone["PATH"]))
    with serving({"NAME": name, "PATH": str(tiny.backbone)}):
        for its in (clip, load_plugin(MAPLE / "trainers" / "field_maple.py").clip):
            state = read(its, name)
            expected = load_file(tiny.backbone)
            assert state.keys() == expected.keys()
            assert all(torch.equal(state[key], expected[key].float()) for key in state)


def test_another_image_tower(clip, tiny, tmp_path):
    tower = {k.removeprefix("visual."): v + 1 for k, v in load_file(tiny.backbone).items() if k.startswith("visual.")}
    save_file(tower, tmp_path / "tower.safetensors")
    with serving({"NAME": "", "PATH": str(tiny.backbone), "VISUAL_WEIGHTS": str(tmp_path / "tower.safetensors")}):
        assert torch.equal(read(clip, "")["visual.proj"], tower["proj"].float())


def test_names_of_openais_list_are_downloads(clip, monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(clip_names, "download", lambda name, root: asked.append((name, root)) or tmp_path / "file.pt")
    with serving({"NAME": "ViT-B/16", "PATH": ""}):
        assert clip._download(clip._MODELS["ViT-B/16"]) == str(tmp_path / "file.pt")
        assert clip._download(clip._MODELS["ViT-L/14"], "elsewhere")  # a teacher's
        assert asked == [("ViT-B/16", None), ("ViT-L/14", "elsewhere")]
        with pytest.raises(InputError, match="'ViT-Z' must be one of|is 'ViT-Z', but must be one of"):
            clip._MODELS["ViT-Z"]
    maple = load_plugin(MAPLE / "trainers" / "field_maple.py").clip
    with pytest.raises(RuntimeError, match="cannot be had"):  # an address of its own is its own affair
        maple._download(maple._MODELS["ViT-B/16"])
