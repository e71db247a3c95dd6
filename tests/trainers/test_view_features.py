"""Features of views are shared by test-time methods: the same answers with the bank cold, warm, spoiled and off."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch

from clipkit import ImageEncoder
from trainers.tta.view_features import narrow

VIEWS = {"TRAINER.TTA.N_VIEWS": 6, "TRAINER.TTA.AUGMIX": "off", "TRAINER.TDA.VIEWS": "all"}


@pytest.fixture
def bank(tmp_path, monkeypatch):
    monkeypatch.setenv("ROBUSTPROMPT_CACHE", str(tmp_path / "bank"))
    return tmp_path / "bank"


def answers(tiny, folder, method="TPT", **pairs) -> tuple[dict, dict[str, int]]:
    """The columns of the test's outputs, and the tower's accounts."""
    trainer = tiny.trainer(folder, method, {**VIEWS, "TEST.OUTPUTS": "logits", **pairs})
    trainer.test()
    return trainer.evaluator.outputs.arrays(), trainer.tower_accounts()


def same(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("method", ["TPT", "RTPT", "CTPT", "MTA", "ZERO", "TPS", "TDA"])
def test_cold_warm_and_without(tiny, tmp_path, bank, method):
    without, counts = answers(tiny, tmp_path / "0", method, **{"TEST.FEATURE_BANK": False})
    assert not list(bank.glob("*.features")) and counts["images_encoded"] == 72  # 12 images, 6 views
    cold, counts = answers(tiny, tmp_path / "1", method)
    assert counts["images_encoded"] == 72 and counts["views_read"] == 0
    warm, counts = answers(tiny, tmp_path / "2", method)
    assert counts["images_encoded"] == 0 and counts["views_read"] == 72
    assert same(without, cold) and same(cold, warm)


def test_methods_share_and_read_no_image(tiny, tmp_path, bank, monkeypatch):
    answers(tiny, tmp_path / "0", "TPT")
    forbid = lambda *_: pytest.fail("an image is read")  # noqa: E731
    monkeypatch.setattr("trainers.tta.views.ViewDataset.__getitem__", forbid)
    monkeypatch.setattr(ImageEncoder, "__call__", forbid)
    for method in ("RTPT", "CTPT", "MTA", "ZERO", "TPS", "TDA"):
        assert answers(tiny, tmp_path / method, method)[1]["views_read"] == 72
    assert len(list(bank.glob("*.features"))) == 1


@pytest.mark.parametrize(
    "pairs",
    [
        {"TRAINER.TTA.N_VIEWS": 5}, {"TRAINER.TTA.AUGMIX": "on"}, {"SEED": 2}, {"TRAINER.TTA.AUG_BACKEND": "tensor"},
        {"TRAINER.TTA.VIEW_SOURCE": "original"}, {"INPUT.TRANSFORMS": ("random_resized_crop", "normalize")},
        {"INPUT.PIXEL_MEAN": (0.5, 0.5, 0.5)}, {"DATASET.SUBSAMPLE_CLASSES": "new"},
    ],
    ids=str,
)  # fmt: skip
def test_other_views_are_not_taken_for_these(tiny, tmp_path, bank, pairs):
    answers(tiny, tmp_path / "0")
    assert answers(tiny, tmp_path / "1", **pairs)[1]["views_read"] == 0


def cut(file) -> None:
    os.truncate(file, file.stat().st_size // 2)


def spoil(file) -> None:
    data = bytearray(file.read_bytes())
    for place in range(1000, len(data), 3000):
        data[place] ^= 255
    file.write_bytes(data)


@pytest.mark.parametrize("what", [cut, spoil, os.unlink])
def test_half_filled_damaged_and_removed(tiny, tmp_path, bank, what):
    cold, _ = answers(tiny, tmp_path / "0")
    what(next(bank.glob("*.features")))
    found, counts = answers(tiny, tmp_path / "1")
    assert same(cold, found) and counts["images_encoded"] > 0
    assert counts["images_encoded"] + counts["views_read"] == 72
    assert answers(tiny, tmp_path / "2")[1]["images_encoded"] == 0


def test_workers_and_groups(tiny, tmp_path, bank):
    cold, _ = answers(tiny, tmp_path / "0", **{"DATALOADER.NUM_WORKERS": 2, "TRAINER.TTA.SAMPLES_PER_STEP": 1})
    assert same(cold, answers(tiny, tmp_path / "1", **{"TRAINER.TTA.SAMPLES_PER_STEP": 1})[0])
    alone = answers(tiny, tmp_path / "2", **{"TEST.FEATURE_BANK": False, "TRAINER.TTA.SAMPLES_PER_STEP": 1})[0]
    assert same(cold, alone)


def test_an_attacked_stream_keeps_clean_pictures_apart(tiny, tmp_path, bank):
    noisy = {"TEST.ADV_SET": "make", "ATTACK.STEPS": 1, "DATASET.ROOT": str(tiny.root)}
    answers(tiny, tmp_path / "0")  # of the clean pictures
    attacked, counts = answers(tiny, tmp_path / "1", "TDA", **noisy)
    assert counts["views_read"] == 0
    part, counts = answers(tiny, tmp_path / "2", "TDA", **noisy, **{"TRAINER.STREAM.ATTACKED": 0.5})
    assert 0 < counts["views_read"] < 72  # those that are attacked here too
    assert not same(attacked, part)


def test_half_the_bytes_where_they_hold_the_numbers():
    x = torch.randn(4, 8)
    assert narrow(x).dtype == torch.float32 and narrow(x.half().float()).dtype == torch.float16
    assert torch.equal(narrow(x.bfloat16().float() * 1e6).float(), x.bfloat16().float() * 1e6)
