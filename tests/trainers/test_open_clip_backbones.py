"""Whole runs on backbones of open_clip's families: trained, resumed, tested, predicted, exported, and refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "clipkit"))
from helpers import saved_weights
from open_clip_families import make_folder

import predict
from clipkit.__main__ import run as clipkit_command
from dassl.engine import TRAINER_REGISTRY
from dassl.utils import read_image
from runs.predictor import load_predictor

pytest.importorskip("open_clip")
pytest.importorskip("transformers")

FAMILIES = ("A", "B", "C", "E")
METHODS = ("CoOp", "MaPLe", "ANPrompt", "DPSEP", "CoOpSAR")
WITHOUT_A_FORM = ("ANPrompt", "DPSEP")  # nobody has published a checkpoint of these


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("backbones")
    for family in FAMILIES:
        make_folder(root / family, family)
    return root


def pairs(folders, family, **more):
    settings = {
        "MODEL.BACKBONE.NAME": f"local-dir:{folders / family}",
        "MODEL.BACKBONE.PATH": "",
        "INPUT.SIZE": (32, 32),
    }
    return settings | {"OPTIM.MAX_EPOCH": 2} | more


def results(folder):
    return json.loads((folder / "results.json").read_text())


def interrupted(tiny, folder, method, settings) -> int:
    """A run that is stopped (Ctrl-C) before the second step of its second epoch."""
    kind = TRAINER_REGISTRY.get(method)
    step = kind.forward_backward

    def forward_backward(self, batch):
        if (self.epoch, self.batch_idx) == (1, 1):
            raise KeyboardInterrupt
        return step(self, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kind, "forward_backward", forward_backward)
        return tiny.run(folder, method, (), settings)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("method", METHODS)
def test_methods_train_go_on_predict_and_are_exported(method, family, tiny, folders, tmp_path, capsys):
    """An interrupted run ends with the numbers of the whole one; what it learned answers for images, and goes into the
    published form, or is refused by a sentence."""
    settings = pairs(folders, family, **{"TRAIN.ROLLING_SECONDS": 0})
    if method == "CoOpSAR":
        (tmp_path / "novel.txt").write_text("plain house\ndotted fish\nsmall star\ntwo circle")
        novel = {"NOVEL_SOURCE": "file", "NOVEL_FILE": tmp_path / "novel.txt", "NUM_NOVEL": 4, "SAMPLE_SIZE": 3}
        settings |= {f"TRAINER.SAR.{key}": value for key, value in novel.items()}
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert tiny.run(whole, method, (), settings) == 0
    assert interrupted(tiny, parts, method, settings) == 130
    assert tiny.run(parts, method, (), settings) == 0
    found, learned = results(whole), saved_weights(whole, 2)
    assert found["results"] == results(parts)["results"] and found["backbone"]["sha256"]
    again = saved_weights(parts, 2)
    assert all(value.isfinite().all() and torch.equal(value, again[key]) for key, value in learned.items())

    capsys.readouterr()
    images = [str(file) for file in sorted((tiny.root / "tiny" / "images").glob("0_test_*.png"))]
    assert predict.run(["--model-dir", str(parts), *images]) == 0
    assert len(capsys.readouterr().out.splitlines()) >= len(images) == 4

    checkpoint, name = next(whole.glob("*/model.pth.tar-2")), f"local-dir:{folders / family}"
    export = ["export", str(checkpoint), "--full", "--backbone", name, "--output", str(tmp_path / "full")]
    code, refusal = clipkit_command(export), "no reference form of" if method in WITHOUT_A_FORM else ""
    if method == "MaPLe" and family != "A":
        refusal = "on backbones of OpenAI's layout only"
    if refusal:
        assert code == 2 and refusal in capsys.readouterr().err and not (tmp_path / "full").exists()
        return
    assert code == 0
    state = torch.load(tmp_path / "full", weights_only=True)["state_dict"]
    assert set(learned) < set(state)
    prefix = next(value for key, value in state.items() if key.endswith("token_prefix"))
    assert prefix.shape[1] == (0 if family == "C" else 1)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_method_that_tunes_at_test_time(family, tiny, folders, tmp_path, capsys):
    settings = pairs(folders, family, **{"TRAINER.TTA.N_VIEWS": 4, "TRAINER.TTA.CTX_INIT": "a_photo_of_a"})
    assert tiny.run(tmp_path / "run", "RTPT", ("--eval-only",), settings) == 0
    image = next((tiny.root / "tiny" / "images").glob("*.png"))
    capsys.readouterr()
    assert predict.run(["--model-dir", str(tmp_path / "run"), str(image)]) == 0
    assert image.name in capsys.readouterr().out


def test_the_sigmoid_score_is_that_of_open_clip_s_model(tiny, folders, tmp_path, capsys):
    """Of SigLIP: each class by itself. Other backbones have no logit bias, and say so."""
    theirs = make_folder(tmp_path / "C", "C")
    assert tiny.run(tmp_path / "run", "ZeroshotCLIP", ("--eval-only",), pairs(folders, "C")) == 0
    predictor = load_predictor(tmp_path / "run", score="sigmoid")
    images = sorted((tiny.root / "tiny" / "images").glob("0_test_*.png"))
    texts = predictor.trainer.text_encoder.tokenizer.ids([f"a photo of a {name}." for name in predictor.classnames])
    pixels = torch.stack([predictor.transform(read_image(str(file))) for file in images])
    with torch.no_grad():
        f, t = theirs.encode_image(pixels, normalize=True), theirs.encode_text(texts, normalize=True)
        expected = (theirs.logit_scale.exp() * f @ t.T + theirs.logit_bias).sigmoid()
    torch.testing.assert_close(predictor.probabilities(images), expected, atol=1e-5, rtol=1e-4)
    files = [str(file) for file in images]
    capsys.readouterr()
    assert predict.run(["--model-dir", str(tmp_path / "run"), "--score", "sigmoid", "--format", "json", *files]) == 0
    assert json.loads(capsys.readouterr().out)["score"] == "sigmoid"

    assert tiny.run(tmp_path / "A", "ZeroshotCLIP", ("--eval-only",), pairs(folders, "A")) == 0
    capsys.readouterr()
    assert predict.run(["--model-dir", str(tmp_path / "A"), "--score", "sigmoid", *files]) == 2
    assert "has no logit bias" in capsys.readouterr().err


def test_prompts_of_one_backbone_are_refused_on_another_of_the_same_shape(tiny, folders, tmp_path, capsys):
    make_folder(tmp_path / "quick", "A")
    config = tmp_path / "quick" / "open_clip_config.json"
    found = json.loads(config.read_text())
    found["model_cfg"]["quick_gelu"] = True
    config.write_text(json.dumps(found))
    assert tiny.run(tmp_path / "run", "CoOp", (), pairs(folders, "A")) == 0
    other = pairs(folders, "A") | {"MODEL.BACKBONE.NAME": f"local-dir:{tmp_path / 'quick'}"}
    flags = ("--eval-only", "--model-dir", str(tmp_path / "run"), "--load-epoch", "2")
    assert tiny.run(tmp_path / "test", "CoOp", flags, other) == 2
    assert "another backbone" in capsys.readouterr().err


def test_images_follow_the_backbone_unless_the_command_line_says_otherwise(tiny, folders, tmp_path, capsys):
    settings = pairs(folders, "C")
    assert tiny.run(tmp_path / "own", "ZeroshotCLIP", ("--eval-only",), settings) == 0
    given = results(tmp_path / "own")["config"]["INPUT"]
    assert given["PIXEL_MEAN"] == [0.5] * 3 and given["RESIZE_MODE"] == "squash" and given["INTERPOLATION"] == "bicubic"
    assert "trained with" not in capsys.readouterr().out
    insisted = settings | {"INPUT.PIXEL_MEAN": [0.4, 0.4, 0.4]}
    assert tiny.run(tmp_path / "other", "ZeroshotCLIP", ("--eval-only",), insisted) == 0
    assert (
        "INPUT.PIXEL_MEAN is [0.4, 0.4, 0.4], but this backbone was trained with [0.5, 0.5, 0.5]"
        in capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("open_clip:ViT-B-16:laion2b_s34b_b88", "nearest are open_clip:ViT-B-16:laion2b_s34b_b88k"),
        ("open_clip:ViT-Z:x", "nearest are"),
        ("local-dir:/nowhere", "no folder /nowhere"),
        ("local-dir:.", "holds no open_clip_config.json"),
    ],
)
def test_names_that_there_are_not(name, words, tiny, folders, tmp_path, capsys):
    settings = pairs(folders, "A") | {"MODEL.BACKBONE.NAME": name}
    assert tiny.run(tmp_path / "run", "ZeroshotCLIP", ("--eval-only",), settings) == 2
    error = capsys.readouterr().err
    assert words in error and not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("family", "change", "words"),
    [
        ("A", {"text_cfg": {"width": 128}}, "describes other weights: it says text_cfg.width 128 (the weights: 64)"),
        ("A", {"text_cfg": {"layers": 5}}, "text_cfg.layers 5 (the weights: 3); give the configuration of these"),
        ("A", {"vision_cfg": {"patch_size": 4}}, "vision_cfg.patch_size 4 (the weights: 8)"),
        ("B", {"vision_cfg": {"timm_model_name": "vit_none"}}, "installed timm has no model vit_none, the image tower"),
        ("B", {"embed_dim": 40}, "it says embed_dim 40 (the weights: 48)"),
        ("C", {"text_cfg": {"layers": 2}}, "it says text_cfg.layers 2 (the weights: 3)"),
        ("C", {"text_cfg": {"context_length": 16}}, "text_cfg.context_length 16 (the weights: 32)"),
        ("E", {"vision_cfg": {"width": 32}}, "vision_cfg.width 32 (the weights: 64)"),
        ("E", {"text_cfg": {"hf_proj_type": "linear"}}, "missing or unknown weights"),
    ],
)
def test_a_configuration_of_other_weights(family, change, words, tiny, tmp_path, capsys):
    make_folder(tmp_path / family, family)
    file = tmp_path / family / "open_clip_config.json"
    found = json.loads(file.read_text())
    for key, value in change.items():
        found["model_cfg"][key] = found["model_cfg"][key] | value if isinstance(value, dict) else value
    file.write_text(json.dumps(found))
    assert tiny.run(tmp_path / "run", "ZeroshotCLIP", ("--eval-only",), pairs(tmp_path, family)) == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert words in error and error.count("InputError") == 0 and not (tmp_path / "run").exists()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("method", ["CoOp", "MaPLe"])
def test_a_prompt_that_is_longer_than_the_context(method, family, tiny, folders, tmp_path, capsys):
    longer = {f"TRAINER.{method.upper()}.N_CTX": 80}
    assert tiny.run(tmp_path / "run", method, (), pairs(folders, family, **longer)) == 2
    error = capsys.readouterr().err.strip()
    reads = 77 if family in "AB" else 32
    assert f"CLIP reads at most {reads}" in error and "\n" not in error and not (tmp_path / "run").exists()


def test_the_list_of_names(capsys):
    assert clipkit_command(["list", "coca*32"]) == 0
    assert "open_clip:coca_ViT-B-32:laion2b_s13b_b90k" in (out := capsys.readouterr().out) and "multimodal_cfg" in out
    assert clipkit_command(["list", "no-such-name"]) == 2


def test_a_tokenizer_that_is_not_there(tiny, folders, tmp_path, monkeypatch, capsys):
    make_folder(tmp_path / "C", "C")
    for file in (tmp_path / "C").glob("*token*"):
        file.unlink()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    settings = pairs(folders, "C") | {"MODEL.BACKBONE.NAME": f"local-dir:{tmp_path / 'C'}"}
    assert tiny.run(tmp_path / "run", "ZeroshotCLIP", ("--eval-only",), settings) == 2
    assert "The tokenizer test/siglip cannot be loaded" in capsys.readouterr().err


def test_without_the_extra(tiny, folders, tmp_path, monkeypatch, capsys):
    """Folders of OpenAI's layout are read without it; others say what to install."""
    for package in ("open_clip", "timm", "transformers", "huggingface_hub"):
        monkeypatch.setitem(sys.modules, package, None)
    for name in [name for name in sys.modules if name.startswith(("open_clip.", "timm.", "transformers."))]:
        monkeypatch.delitem(sys.modules, name)
    assert tiny.run(tmp_path / "A", "ZeroshotCLIP", ("--eval-only",), pairs(folders, "A")) == 0
    for family in ("B", "C", "E"):
        assert tiny.run(tmp_path / family, "ZeroshotCLIP", ("--eval-only",), pairs(folders, family)) == 2
        assert "pip install open_clip_torch" in capsys.readouterr().err
    named = pairs(folders, "A") | {"MODEL.BACKBONE.NAME": "open_clip:ViT-B-16:laion2b_s34b_b88k"}
    assert tiny.run(tmp_path / "named", "ZeroshotCLIP", ("--eval-only",), named) == 2
    assert "pip install open_clip_torch" in capsys.readouterr().err
