"""Bad input ends with one clear sentence and exit code 2, and leaves nothing half-written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch


def refused(tiny, capsys, output: Path, *, flags=(), pairs=None, trainer="CoOp", says: tuple[str, ...]) -> None:
    """The run is refused with exit code 2, one line that holds all of `says`, and no folder left behind."""
    existed = output.exists()
    capsys.readouterr()
    assert tiny.run(output, trainer, flags, pairs) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1 and error[0].startswith("error: "), error
    for part in says:
        assert part in error[0], error[0]
    assert "Traceback" not in error[0]
    assert output.exists() == existed


SHALLOW = {"TRAINER.PROMPTSRC.PROMPT_DEPTH_VISION": 2, "TRAINER.PROMPTSRC.PROMPT_DEPTH_TEXT": 2}


@pytest.mark.parametrize(
    ("trainer", "flags", "pairs", "says"),
    [
        ("CoOpp", (), {}, ("CoOpp", "CoOp", "ANPrompt")),
        ("CoOp", (), {"DATASET.NAME": "Tinyy"}, ("Tinyy", "Tiny")),
        ("CoOp", (), {"TRAINER.COOP.N_CTXX": 4}, ("TRAINER.COOP.N_CTXX", "nearest", "TRAINER.COOP.N_CTX")),
        ("CoOp", (), {"OPTIM.LR": "fast"}, ("OPTIM.LR", "'fast'", "number at least 0")),
        ("CoOp", (), {"OPTIM": 3}, ("OPTIM", "group of config keys")),
        ("CoOp", ("--root", "/nowhere"), {}, ("/nowhere/tiny", "does not exist")),
        ("CoOp", ("--config-file", "configs/trainers/CoOp/none.yaml"), {}, ("none.yaml", "vit_b16.yaml")),
        ("CoOp", (), {"MODEL.BACKBONE.PATH": "", "MODEL.BACKBONE.NAME": "ViT-B/61"}, ("ViT-B/61", "ViT-B/16")),
        ("CoOp", (), {"MODEL.BACKBONE.PATH": "/nowhere/clip.pt"}, ("/nowhere/clip.pt",)),
        ("CoOp", ("--eval-only", "--model-dir", "/nowhere", "--load-epoch", 3), {}, ("/nowhere", "does not exist")),
        *(
            ("CoOp", (), {"INPUT.SIZE": size}, (f"INPUT.SIZE is {size[0]} x {size[1]}", "(16,16)"))
            for size in ((224, 224), (7, 7), (8, 32), (15, 16))
        ),
        *(
            ("CoOp", (), {"MODEL.BACKBONE.PATH": "", "MODEL.BACKBONE.NAME": name}, (f"{name} reads images of {side}",))
            for name, side in (("random:RN50x4", 288), ("ViT-L/14@336px", 336), ("Embedded", 48))
        ),
        ("CoOp", (), {"INPUT.NO_TRANSFORM": True}, ("NO_TRANSFORM",)),
        ("JoAPR", (), {"DATALOADER.K_TRANSFORMS": 2}, ("K_TRANSFORMS is 2", "one view")),
        ("CoOp", (), {"OPTIM.SGD_NESTEROV": True, "OPTIM.MOMENTUM": 0.0}, ("SGD_NESTEROV", "MOMENTUM")),
        ("CoOp", ("--seed", 2**70), {}, ("--seed is", "below 2**63")),
        ("CoOp", (), {"TEST.FINAL_MODEL": "best"}, ("TEST.FINAL_MODEL", "last_step, best_val")),
        ("CoOp", (), {"DATASET.NOISE.RATE": 0.5}, ("DATASET.NOISE.TYPE",)),
        ("CoOp", (), {"DATASET.SOURCE_DOMAINS": ("photo",)}, ("Tiny has no domain 'photo'", "leave them out")),
        ("CoOp", (), {"TRAINER.COOP.PREC": "fp8"}, ("fp8", "fp16")),
        ("CoOp", (), {"TRAINER.COOP.CLASS_TOKEN_POSITION": "back"}, ("back", "end")),
        ("CoOp", (), {"TRAINER.COOP.N_CTX": 80}, ("77",)),
        ("ANPrompt", (), {"TRAINER.ANPROMPT.IN_LAYERS": [2, 3, 4]}, ("IN_LAYERS", "1 to 3")),
        ("ANPrompt", (), {"TRAINER.ANPROMPT.WA_REF": "best"}, ("WA_REF", "align, robust")),
        ("ANPrompt", (), {"TRAINER.ANPROMPT.CACHE_MAIN": "/nowhere/x.json"}, ("/nowhere/x.json",)),
        ("ZeroshotCLIP", ("--eval-only",), {"TRAINER.ZSCLIP.TEMPLATES": "all"}, ("TEMPLATES", "full80")),
        ("CoOp", ("--plugin", "/nowhere/method.py"), {}, ("/nowhere/method.py",)),
        ("MaPLe", (), {"TRAINER.MAPLE.PROMPT_DEPTH": 9}, ("MAPLE.PROMPT_DEPTH is 9", "between 1 and 3")),
        ("VPT", (), {"TRAINER.VPT.PROMPT_DEPTH_VISION": 0}, ("VPT.PROMPT_DEPTH_VISION is 0",)),
        (
            "IVLP",
            (),
            {"TRAINER.IVLP.N_CTX_VISION": 0, "TRAINER.IVLP.PROMPT_DEPTH_TEXT": 4},
            ("PROMPT_DEPTH_TEXT is 4",),
        ),
        (
            "PromptSRC",
            (),
            {**SHALLOW, "TRAINER.PROMPTSRC.GPA_STD": 0.0},
            ("GPA_STD is 0.0",),
        ),
        ("TCP", (), {"TRAINER.TCP.LAYERS": [9]}, ("TRAINER.TCP.LAYERS", "1 to 3")),
        ("MMRL", (), {"TRAINER.MMRL.REP_LAYERS": [2, 6]}, ("TRAINER.MMRL.REP_LAYERS", "1 to 3")),
        ("CoPrompt", (), {"DATALOADER.K_TRANSFORMS": 1}, ("K_TRANSFORMS is 1", "two views")),
        ("CoPrompt", (), {"TRAINER.DISTILL": "kl"}, ("DISTILL", "cosine, mse")),
        ("CoCoOp", (), {"TRAINER.COCOOP.TOKEN_BUDGET": 0}, ("TOKEN_BUDGET",)),
        ("ProGrad", (), {"TRAINER.PROGRAD.T": 2.0, "LOSS.T": 3.0}, ("TRAINER.PROGRAD.T is 2.0", "LOSS.T 3.0")),
        ("ProGrad", (), {"LOSS.NAME": "mae"}, ("mae", "prograd")),
        (
            "ProGrad",
            (),
            {"TRAINER.PROGRAD.CTX_INIT": "True", "TRAINER.PROGRAD.N_CTX": 2},
            ("N_CTX is 2", "a photo of a"),
        ),
    ],
    ids=lambda value: None if isinstance(value, dict) else str(value)[:40],
)
def test_one_sentence(tiny, tmp_path, capsys, trainer, flags, pairs, says):
    refused(tiny, capsys, tmp_path / "run", trainer=trainer, flags=flags, pairs=pairs, says=says)


def test_no_network_and_no_weights(tiny, tmp_path, capsys, monkeypatch):
    import urllib.request
    from urllib.error import URLError

    def offline(*args, **kwargs):
        raise URLError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", offline)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    pairs = {"MODEL.BACKBONE.PATH": "", "MODEL.BACKBONE.NAME": "RN50", "INPUT.SIZE": (224, 224)}
    refused(tiny, capsys, tmp_path / "run", pairs=pairs, says=("RN50", "MODEL.BACKBONE.PATH"))


@pytest.fixture(scope="module")
def trained(tiny, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "run"
    assert tiny.run(folder, pairs={"OPTIM.MAX_EPOCH": 1}) == 0
    return folder


def evaluation(folder: Path, epoch: int = 1) -> tuple:
    return ("--eval-only", "--model-dir", folder, "--load-epoch", epoch)


def test_checkpoint_of_another_method(tiny, tmp_path, capsys, trained):
    refused(tiny, capsys, tmp_path / "run", trainer="ANPrompt", flags=evaluation(trained), says=("CoOp", "ANPrompt"))


def test_checkpoint_of_another_backbone(tiny, tmp_path, capsys, trained):
    from helpers import make_clip

    other = make_clip(tmp_path / "other.safetensors", seed=5)
    pairs = {"MODEL.BACKBONE.PATH": other}
    refused(
        tiny, capsys, tmp_path / "run", flags=evaluation(trained), pairs=pairs, says=("another backbone", str(other))
    )


def test_checkpoint_of_another_shape(tiny, tmp_path, capsys, trained):
    """One that does not record its architecture; a record is taken over, see tests/trainers/test_architecture.py."""
    copy = tmp_path / "copy"
    shutil.copytree(trained, copy)
    file = next(copy.glob("prompt_learner/model.pth.tar-*"))
    checkpoint = torch.load(file, weights_only=True)
    del checkpoint["run"]["architecture"]
    torch.save(checkpoint, file)
    pairs = {"TRAINER.COOP.N_CTX": 4}
    says = ("ctx has shape (16, 64)", "(4, 64)")
    refused(tiny, capsys, tmp_path / "run", flags=evaluation(copy), pairs=pairs, says=says)


def test_missing_epoch(tiny, tmp_path, capsys, trained):
    says = ("model.pth.tar-9", "model.pth.tar-1")
    refused(tiny, capsys, tmp_path / "run", flags=evaluation(trained, 9), says=says)


def test_truncated_checkpoint(tiny, tmp_path, capsys, trained):
    copy = tmp_path / "copy"
    shutil.copytree(trained, copy)
    file = copy / "prompt_learner" / "model.pth.tar-1"
    file.write_bytes(file.read_bytes()[:1000])
    refused(tiny, capsys, tmp_path / "run", flags=evaluation(copy), says=(str(file), "damaged"))


def test_resuming_from_a_truncated_checkpoint(tiny, tmp_path, capsys, trained):
    copy = tmp_path / "copy"
    shutil.copytree(trained, copy)
    (copy / "results.json").unlink()
    file = copy / "prompt_learner" / "model.pth.tar-1"
    file.write_bytes(file.read_bytes()[:1000])
    refused(tiny, capsys, copy, pairs={"OPTIM.MAX_EPOCH": 1}, says=(str(file), "damaged"))
    assert file.exists()


def broken_copy(tiny, tmp_path: Path) -> Path:
    """A copy of the tiny dataset that a test may damage."""
    shutil.copytree(tiny.root / "tiny", tmp_path / "data" / "tiny", ignore=shutil.ignore_patterns("split_fewshot"))
    return tmp_path / "data" / "tiny"


@pytest.mark.parametrize("workers", [0, 2])
def test_corrupt_image_is_named(tiny, tmp_path, capsys, workers):
    data = broken_copy(tiny, tmp_path)
    (data / "images" / "0_test_1.png").write_bytes(b"no image")
    flags, pairs = ("--root", data.parent, "--eval-only"), {"DATALOADER.NUM_WORKERS": workers}
    refused(tiny, capsys, tmp_path / "run", trainer="ZeroshotCLIP", flags=flags, pairs=pairs, says=("0_test_1.png",))


def test_class_without_images(tiny, tmp_path, capsys):
    data = broken_copy(tiny, tmp_path)
    split = json.loads((data / "split_zhou_Tiny.json").read_text())
    split["train"] = [item for item in split["train"] if item[1] != 2]
    (data / "split_zhou_Tiny.json").write_text(json.dumps(split))
    refused(
        tiny, capsys, tmp_path / "run", flags=("--root", data.parent), says=("checkered house", "no training image")
    )


def test_more_shots_than_images_is_a_warning(tiny, tmp_path, capsys):
    assert tiny.run(tmp_path / "run", pairs={"DATASET.NUM_SHOTS": 50, "OPTIM.MAX_EPOCH": 1}) == 0
    assert "all of theirs are used" in capsys.readouterr().out


def test_scripts_refuse_bad_words():
    import subprocess
    import sys

    def script(*words: str) -> tuple[int, str]:
        done = subprocess.run([sys.executable, "-m", "runs", *words], capture_output=True, text=True)
        return done.returncode, done.stderr

    code, text = script("base2new_train", "CoOp", "digitz", "1")
    assert code == 2 and "digits" in text
    code, text = script("base2new_train", "CoOp", "digits", "one")
    assert code == 2 and "'one'" in text
    code, text = script("base2new_train", "CoOp")
    assert code == 2 and "SEED" in text
    code, text = script("base2new_test", "CoOp", "digits", "77")
    assert code == 2 and "base2new_train.sh" in text
