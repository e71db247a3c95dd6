"""Similarity maps of trained runs."""

from __future__ import annotations

import pytest
import torch
from PIL import Image
from processes import forked
from torch.nn import functional as F

from bench.studies import noise_analysis
from bench.studies.new_class_similarity import divergence_of
from bench.studies.semantics import main, read_semantics
from runs.targets import ROOT


@pytest.fixture(scope="module")
def run(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("semantics") / "run"
    assert tiny.run(folder, "CoOp", pairs={"OPTIM.LR": 0.5}) == 0
    return folder


def test_distributions_and_their_divergence(tiny, tmp_path, run):
    s = read_semantics(run)
    assert s.names == ["striped circle", "dotted star", "checkered house", "plain tree", "speckled fish"]
    assert s.n_base == 3
    trainer = tiny.trainer(tmp_path, "CoOp", {"DATASET.SUBSAMPLE_CLASSES": "all"})
    trainer.load_model(str(run), epoch=3)
    pairs = ((s.learned, trainer.encode_text()), (s.hand, trainer.frozen_text([f"a photo of a {n}." for n in s.names])))
    for found, e in pairs:
        cos = F.cosine_similarity(e[:, None], e[None], dim=-1) * trainer.logit_scale
        for i in range(5):
            others = [j for j in range(5) if j != i]
            torch.testing.assert_close(found[i, others], cos[i, others].softmax(0).detach(), atol=1e-4, rtol=1e-3)
    p, q = s.hand[0][s.hand[0] > 0], s.learned[0][s.hand[0] > 0]
    torch.testing.assert_close(s.divergence()[0], (p * (p / q).log()).sum(), atol=1e-5, rtol=1e-4)
    assert s.divergence().min() >= 0 and s.divergence().max() > 0


def test_the_claims_take_the_mean_of_new_classes(run):
    assert divergence_of(run) == pytest.approx(read_semantics(run).divergence()[3:].mean().item())


def test_the_picture_and_the_table(tmp_path, run, capsys):
    assert main([str(run), "--plot", str(tmp_path / "map.png")]) == 0
    out = capsys.readouterr().out
    assert "CoOp, seed 1" in out and "mean KL" in out
    assert Image.open(tmp_path / "map.png").size[0] > 500 and list(tmp_path.glob("*.tmp")) == []


def test_names_from_a_file(tmp_path, run):
    (tmp_path / "names.txt").write_text("green moon\n")
    assert read_semantics(run, ["green moon"]).names[3:] == ["green moon"]
    assert main([str(run), "--new-classes", str(tmp_path / "names.txt"), "--ensemble"]) == 0


def test_a_method_whose_text_depends_on_the_image_is_refused(tiny, tmp_path, capsys):
    assert tiny.run(tmp_path / "run", "CoCoOp", pairs={"OPTIM.MAX_EPOCH": 1}) == 0
    assert main([str(tmp_path / "run")]) == 2
    assert "depend on the image" in capsys.readouterr().err
    assert main([str(tmp_path / "nowhere")]) == 2


def test_a_plugins_run_takes_its_file(tiny, tmp_path, capfd):
    """By both commands on finished runs; trained in a process of its own, as this one has not met the plugin."""
    file = tmp_path / "plain.py"
    file.write_text(
        "from dassl.engine import TRAINER_REGISTRY\nfrom trainers.coop import CoOp\n\n\n"
        "@TRAINER_REGISTRY.register()\nclass MapCoOp(CoOp):\n    node = 'TRAINER.MAPCOOP'\n"
        "    config_defaults = {k.replace('COOP', 'MAPCOOP'): v for k, v in CoOp.config_defaults.items()}\n"
    )
    folder = tmp_path / "run"
    assert forked(lambda: tiny.run(folder, "MapCoOp", ("--plugin", file), {"OPTIM.MAX_EPOCH": 2})) == 0
    commands = (main, [str(folder)]), (noise_analysis.main, [str(folder), "--output", str(tmp_path / "analysis")])
    for command, words in commands:
        assert command(words) == 2 and "--plugin" in capfd.readouterr().err
        assert command([*words, "--plugin", str(tmp_path / "nope.py")]) == 2
        assert "no Python file" in capfd.readouterr().err
        assert forked(lambda call=command, given=words: call([*given, "--plugin", str(file)])) == 0
        capfd.readouterr()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--plot", "README.md/x.png"], "README.md is a file"),
        (["--plot", "map.txt"], "must end in one of .png"),
        (["--new-classes", "nowhere.txt"], "nowhere.txt cannot be read"),
    ],
)
def test_wrong_words_are_told_before_the_work(words, says, run, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    assert main([str(run), *words]) == 2 and says in capsys.readouterr().err
