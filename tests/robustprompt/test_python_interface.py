"""Runs from Python are those of the commands, and wrong input is one sentence."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import robustprompt as rp
from dassl.utils import InputError, set_random_seed
from robustness.__main__ import run as attack_command
from robustprompt import checkout
from runs.__main__ import main as command

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def config(tiny):
    return {
        "DATASET.NAME": "Tiny", "MODEL.BACKBONE.NAME": "", "MODEL.BACKBONE.PATH": str(tiny.backbone),
        "INPUT.SIZE": (16, 16), "OPTIM.MAX_EPOCH": 2, "TRAIN.TENSORBOARD": False, "DATALOADER.TEST.BATCH_SIZE": 5,
    }  # fmt: skip


@pytest.fixture(scope="module")
def run(tiny, config, tmp_path_factory) -> rp.Run:
    output = tmp_path_factory.mktemp("runs")
    return rp.train("CoOp", "digits", shots=2, config=config, data=tiny.root, output=output)


def words(config) -> list[str]:
    return [str(word) for pair in config.items() for word in pair]


def test_a_run_is_that_of_the_command_in_the_same_folder(tiny, config, run, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DATA", str(tiny.root))
    monkeypatch.setenv("OUTPUT", str(tmp_path))
    monkeypatch.setenv("SHOTS", "2")
    assert command(["few_shot", "CoOp", "digits", "1", *words(config)]) == 0
    below = run.folder.relative_to(run.folder.parents[5])
    theirs = json.loads((tmp_path / below / "results.json").read_text())
    assert (theirs["results"], theirs["scores"]) == (run.record["results"], run.record["scores"])
    assert theirs["settings_hash"] == run.record["settings_hash"] and theirs["cell"] == run.record["cell"]
    assert run.record["command"][0] == "train.py" and "--trainer" in run.record["command"]
    assert (tmp_path / below / "log.txt").is_file() and (run.folder / "log.txt").is_file()

    again = rp.train("coop", "digits", shots=2, config=config)  # finished: the environment names its folder
    assert again.folder == tmp_path / below and again.record == theirs
    assert rp.load(os.path.relpath(again.folder)).accuracy == run.accuracy == theirs["results"]["accuracy"]
    assert "CoOp on Tiny, seed 1" in repr(run)


def test_an_evaluation_under_attack_is_that_of_the_command(tiny, config, run, monkeypatch, capsys):
    monkeypatch.setenv("DATA", str(tiny.root))
    monkeypatch.setenv("OUTPUT", str(run.folder.parents[5]))
    monkeypatch.setenv("SHOTS", "2")
    own = words(config | {"ATTACK.SUBSET": 5})
    assert attack_command(["CoOp", "digits", "1", "4", "2", "W", *own]) == 0
    found = rp.evaluate(run, "pgd", 4, steps=2, images=5)
    assert found.folder.parent.parent.parent.parent.name == "white-box-pgd-eps4-2-n5"
    assert "robustness" not in str(found.record["command"]), "finished already, by the command: not repeated"
    assert found.clean == found.record["figures"]["clean"]["accuracy"] and set(found.attacked) == {
        "transfer",
        "white-box",
    }
    assert found.interval[0] <= found.robust <= min(found.clean, *found.attacked.values()) and found.images == 5
    assert "5 images: clean" in repr(found)


def test_other_runs_are_attacked_in_their_own_folder(tiny, config, tmp_path):
    base = rp.train(
        "CoOp", "digits", shots=2, config=config, data=tiny.root, output=tmp_path, protocol="base2new_train"
    )
    found = rp.evaluate(base, "pgd", 4, steps=1, images=4)
    assert found.folder == base.folder / "attacked" / "white-box-pgd-eps4-1-n4"
    assert found.record["model_sha256"] and rp.load(base.folder).accuracy == base.accuracy
    clip = rp.zero_shot("digits", config=config, data=tiny.root, output=tmp_path)
    assert clip.method == "ZeroshotCLIP" and rp.evaluate(clip, steps=1, images=4).images == 4


def test_test_images_have_the_test_s_logits_however_they_are_given(run):
    test = run.features("test")
    assert test.images.shape == (20, 32) and torch.allclose(test.images.norm(dim=1), torch.ones(20), atol=1e-5)
    logits = run.logits(test.paths)
    assert logits.shape == (20, len(run.classnames)) and not logits.requires_grad
    assert 100 * (logits.argmax(dim=1) == test.labels).double().mean() == pytest.approx(run.accuracy)
    kept = np.load(run.folder / "outputs.npz")
    assert (kept["prediction"] == logits.argmax(dim=1).numpy()).all()
    pictures = np.stack([np.asarray(Image.open(path).convert("RGB")) for path in test.paths])
    last, first = torch.tensor(pictures), torch.tensor(pictures).permute(0, 3, 1, 2)
    for given in (pictures, last, first, list(pictures), [Image.open(path) for path in test.paths]):
        assert torch.equal(run.logits(given), logits)
    assert torch.equal(run.logits(pictures[0]), run.logits(test.paths[0]))
    assert run.logits([]).shape == (0, 5)
    assert len(run.features("train").labels) == 10 and len(run.features("val").labels) == 10


def test_floats_go_to_the_model_as_they_are_and_have_gradients(run):
    x = torch.rand(7, 3, *run.image_size, generator=torch.Generator().manual_seed(0))
    as_bytes = (x * 255).round().to(torch.uint8)
    assert torch.allclose(run.logits(as_bytes / 255), run.logits(as_bytes), atol=1e-4)
    assert not torch.allclose(run.logits(x), run.logits(as_bytes), atol=1e-6)
    x.requires_grad_(True)
    with run.pixel_model() as f:
        f(x).sum().backward()
    assert x.grad is not None and x.grad.abs().sum() > 0


def draws() -> tuple[float, float, float]:
    return float(torch.rand(1)), np.random.rand(), random.random()  # noqa: NPY002 (the global generator is meant)


def test_nothing_of_the_process_is_changed(tiny, config, run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    set_random_seed(3)
    expected = draws()
    set_random_seed(3)
    argv, stdout = [*sys.argv], sys.stdout
    rp.train("CoOp", "digits", shots=1, config=config, data=tiny.root, output="here")
    assert (tmp_path / "here" / "few_shot").is_dir() and Path.cwd() == tmp_path
    assert sys.argv == argv and sys.stdout is stdout and not capsys.readouterr().out
    assert draws() == expected
    rp.train("CoOp", "digits", shots=1, config=config, data=tiny.root, output="loud", log=True)
    assert "** Config **" in capsys.readouterr().out and sys.stdout is stdout


@pytest.mark.parametrize(
    "words, said",
    [
        ({"method": "CoOpp"}, "no method 'CoOpp'; known, nearest first: CoOp,"),
        ({"method": 3}, "method is 3, but must be a name"),
        ({"dataset": "digitz"}, "no dataset 'digitz'; known, nearest first: digits,"),
        ({"dataset": "digits,shapes"}, "one call is one run"),
        ({"shots": 0}, "SHOTS is '0'"),
        ({"shots": 1.5}, "SHOTS is '1.5'"),
        ({"seed": -1}, "SEED is '-1'"),
        ({"backbone": "Embeded"}, "Unknown backbone 'Embeded'"),
        ({"backbone": "none.pt"}, "none.pt"),
        ({"config": {"OPTIM.MAX_EPOCHS": 1}}, "Unknown config key OPTIM.MAX_EPOCHS"),
        ({"config": {"SEED": 1}}, "SEED"),
        ({"protocol": "base2new_test"}, "must be one of few_shot, base2new_train, xd_train"),
        ({"output": "/dev/null/x"}, "output is /dev/null/x, but /dev/null is a file"),
    ],
)
def test_wrong_words_are_one_sentence(words, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = {"method": "CoOp", "dataset": "digits", "output": tmp_path / "out"} | words
    with pytest.raises(InputError) as error:
        rp.train(given.pop("method"), given.pop("dataset"), **given)
    assert said in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "out").exists() and Path.cwd() == tmp_path


BYTES = np.uint8
BAD_IMAGES = [
    (3, "images is a int"),
    (["no.jpg"], "no.jpg does not exist"),
    (np.zeros((2, 4, 8, 8), BYTES), "shape (2, 4, 8, 8)"),
    (np.zeros((3, 8), BYTES), "shape (3, 8)"),
    (np.zeros((1, 3, 0, 8), BYTES), "no pixel"),
    (np.zeros((1, 3, 8, 8), np.int64), "images are int64"),
    (np.array(["a"]), "an array of <U1"),
    (torch.full((1, 3, 16, 16), 200.0), "divide them by 255"),
    (torch.full((1, 3, 16, 16), -1.0), "undo the normalisation"),
    (torch.full((1, 3, 16, 16), float("nan")), "NaN"),
    (torch.zeros(1, 3, 8, 8), "have (8, 8) pixels, but the model takes (16, 16)"),
    ([np.zeros((2, 3, 8, 8), BYTES)], "one image in each place"),
    ([torch.zeros(3, 16, 16), "a.png"], "a call of their own"),
]


@pytest.mark.parametrize("images, said", BAD_IMAGES, ids=[said for _, said in BAD_IMAGES])
def test_wrong_images_are_one_sentence(run, images, said):
    with pytest.raises(InputError) as error:
        run.logits(images)
    assert said in str(error.value) and "--" not in str(error.value)


def test_other_mistakes_are_one_sentence(run, tmp_path):
    for call, said in (
        (lambda: run.features("tset"), "split is 'tset', but must be one of train, val, test"),
        (lambda: rp.load(tmp_path / "none"), "does not exist"),
        (lambda: rp.load(tmp_path), "has no config.yaml"),
        (lambda: rp.load(""), "folder is empty"),
        (lambda: rp.zero_shot("digits", method="CoOp"), "CoOp is trained: use rp.train"),
        (lambda: rp.evaluate(run, "pdg"), "there is no attack 'pdg'; nearest: pgd"),
        (lambda: rp.evaluate(run, eps=-1), "EPS is '-1'"),
        (lambda: rp.evaluate(run, steps=0), "STEPS must follow"),
        (lambda: rp.evaluate(run, mode="A"), "CoOp does not adapt to images"),
        (lambda: rp.evaluate(run.folder), "but must be what rp.train"),
    ):
        with pytest.raises(InputError, match=".") as error:
            call()
        assert said in str(error.value)


def test_a_run_without_a_checkpoint_or_a_result(run, tmp_path):
    for name in ("config.yaml", "results.json"):
        (tmp_path / name).write_bytes((run.folder / name).read_bytes())
    found = rp.load(tmp_path)
    assert found.accuracy == run.accuracy
    with pytest.raises(InputError, match="holds no trained model"):
        found.logits(np.zeros((3, 8, 8), np.uint8))
    (tmp_path / "results.json").write_text("{")
    with pytest.raises(InputError, match="is damaged"):
        rp.load(tmp_path)
    (tmp_path / "results.json").unlink()
    with pytest.raises(InputError, match="not finished"):
        rp.load(tmp_path)


def test_importing_it_imports_no_torch_and_the_names_are_documented():
    code = "import sys, robustprompt as rp; assert 'torch' not in sys.modules and 'train' in dir(rp)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    assert all(getattr(rp, name).__doc__ for name in rp.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'trian'"):
        rp.trian


def test_the_checkout_is_its_own_or_the_one_around(tmp_path, monkeypatch):
    assert checkout.find() == ROOT and checkout.enter() == ROOT
    installed = tmp_path / "site-packages"
    (installed / "clipkit").mkdir(parents=True)
    (installed / "clipkit" / "__init__.py").write_text((ROOT / "clipkit" / "__init__.py").read_text())
    assert checkout.find(installed, ROOT / "docs" / "notebooks") == ROOT
    with pytest.raises(InputError, match="is not in a checkout of RobustPrompt"):
        checkout.find(installed, tmp_path)
    (installed / "clipkit" / "__init__.py").write_text('__version__ = "0.0.1"\n')
    with pytest.raises(InputError, match="The installed robustprompt is 0.0.1, but the checkout"):
        checkout.find(installed, ROOT)
    with pytest.raises(InputError, match="Another package called attacks is imported already"):
        import attacks  # noqa: F401

        checkout.enter(tmp_path)
