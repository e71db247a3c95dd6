"""Whole runs on backbones of open_clip's families: trained, resumed, tested, predicted, exported, and refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "clipkit"))
from open_clip_families import make_folder

import predict
from clipkit.__main__ import run as clipkit_command

pytest.importorskip("open_clip")
pytest.importorskip("transformers")

FAMILIES = ("A", "B", "C", "E")
METHODS = ("CoOp", "MaPLe", "ANPrompt", "DPSEP", "CoOpSAR")


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


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("method", METHODS)
def test_methods_train_and_test(method, family, tiny, folders, tmp_path):
    (tmp_path / "novel.txt").write_text("plain house\ndotted fish\nsmall star\ntwo circle")
    novel = {"SOURCE": "file", "FILE": tmp_path / "novel.txt"} if method == "CoOpSAR" else {}
    sar = {f"TRAINER.SAR.NOVEL_{key}": value for key, value in novel.items()}
    sar |= {"TRAINER.SAR.NUM_NOVEL": 4, "TRAINER.SAR.SAMPLE_SIZE": 3} if sar else {}
    assert tiny.run(tmp_path / "run", method, (), pairs(folders, family, **sar)) == 0
    assert results(tmp_path / "run")["backbone"]["sha256"]
    file = next((tmp_path / "run").glob("*/model.pth.tar-2"))
    state = torch.load(file, weights_only=True)["state_dict"]
    assert all(value.isfinite().all() for value in state.values())


@pytest.mark.parametrize("family", FAMILIES)
def test_a_method_that_tunes_at_test_time(family, tiny, folders, tmp_path):
    settings = pairs(folders, family, **{"TRAINER.TTA.N_VIEWS": 4, "TRAINER.TTA.CTX_INIT": "a_photo_of_a"})
    assert tiny.run(tmp_path / "run", "RTPT", ("--eval-only",), settings) == 0


@pytest.mark.parametrize("family", FAMILIES)
def test_a_run_goes_on_predicts_and_is_exported(family, tiny, folders, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    settings = pairs(folders, family)
    assert tiny.run(whole, "CoOp", (), settings) == 0
    assert tiny.run(parts, "CoOp", (), settings | {"OPTIM.MAX_EPOCH": 2, "TRAIN.CHECKPOINT_FREQ": 1}) == 0
    assert results(whole)["results"] == results(parts)["results"]
    image = next((tiny.root / "tiny" / "images").glob("*.png"))
    assert predict.run(["--model-dir", str(whole), str(image)]) == 0
    checkpoint = next(whole.glob("*/model.pth.tar-2"))
    name = f"local-dir:{folders / family}"
    export = ["export", str(checkpoint), "--full", "--backbone", name, "--output", str(tmp_path / "full")]
    assert clipkit_command(export) == 0
    prefix = torch.load(tmp_path / "full", weights_only=True)["state_dict"]["token_prefix"]
    assert prefix.shape[1] == (0 if family == "C" else 1)


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


def test_the_list_of_names(capsys):
    assert clipkit_command(["list", "coca*32"]) == 0
    assert "open_clip:coca_ViT-B-32:laion2b_s13b_b90k" in (out := capsys.readouterr().out) and "multimodal_cfg" in out
    assert clipkit_command(["list", "no-such-name"]) == 2


def test_a_tokenizer_that_is_not_there(tiny, folders, tmp_path, monkeypatch, capsys):
    make_folder(tmp_path / "C", "C")
    for file in (tmp_path / "C").glob("*token*"):
        file.unlink()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
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
