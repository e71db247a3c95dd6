"""Class features that are all the same: one warning."""

import pytest
import torch

from clipkit import normalize
from trainers.shared.coinciding import mean_distance


def test_mean_distance():
    features = normalize(torch.randn(5, 8))
    off = ~torch.eye(5, dtype=torch.bool)
    assert mean_distance(features) == pytest.approx(1 - (features @ features.t())[off].mean().item(), abs=1e-6)
    assert mean_distance(features[:1]) == float("inf")


def test_a_run_whose_classes_coincide_says_so_once(tiny, tmp_path, monkeypatch, capsys):
    from trainers.coop import CoOp

    encode = CoOp.encode_text
    assert tiny.run(tmp_path / "apart", pairs={"OPTIM.MAX_EPOCH": 1}) == 0
    assert "coincide" not in capsys.readouterr().out
    monkeypatch.setattr(CoOp, "encode_text", lambda self: encode(self)[:1].expand(len(self.classnames), -1))
    assert tiny.run(tmp_path / "run", pairs={"OPTIM.MAX_EPOCH": 1, "TEST.FINAL_MODEL": "best_val"}) == 0
    assert capsys.readouterr().out.count("the features of all 3 classes coincide") == 1
