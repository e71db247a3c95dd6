"""Caltech101: declared facts, and the real files where they are at hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from dassl.data.datasets import DATASET_REGISTRY
from datasets.caltech101 import Caltech101

REAL = Path(__file__).parents[3] / "shared" / "data"


def test_it_is_registered():
    assert DATASET_REGISTRY.get("Caltech101") is Caltech101


def test_generated_names_follow_the_published_ones(tmp_path, make_cfg):
    for folder in ("BACKGROUND_Google", "Faces", "Faces_easy", "Leopards", "Motorbikes", "airplanes", "sea_horse"):
        path = tmp_path / "caltech-101" / "101_ObjectCategories" / folder
        path.mkdir(parents=True)
        for i in range(10):
            (path / f"{i}.jpg").touch()
    data = Caltech101(make_cfg(tmp_path))
    assert data.classnames == ["face", "leopard", "motorbike", "airplane", "sea_horse"]


@pytest.mark.skipif(not (REAL / "caltech-101").is_dir(), reason="needs the real images")
def test_the_real_split(make_cfg, monkeypatch, caplog):
    monkeypatch.setattr("datasets.reading.fewshot.save_sample", lambda *_: None)  # leaves the folder as it is
    monkeypatch.setattr("datasets.reading.fewshot.load_sample", lambda *_: None)
    data = Caltech101(make_cfg(REAL))
    assert (data.num_classes, len(data.train_x), len(data.val), len(data.test)) == (100, 4128, 1649, 2465)
    assert "Warning" not in caplog.text
    base, new = (Caltech101(make_cfg(REAL, shots=16, half=half)) for half in ("base", "new"))
    assert (len(base.classnames), len(new.classnames)) == (50, 50)
    assert base.classnames + new.classnames == data.classnames
    assert len(base.test) + len(new.test) == 2465 and len(base.train_x) == 800
