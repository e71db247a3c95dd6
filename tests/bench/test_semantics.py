"""Similarity maps of trained runs."""

from __future__ import annotations

import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from bench.semantics import main, read_semantics


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
