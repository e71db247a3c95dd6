"""`--deterministic`: kernels that give the same numbers each time, or one sentence; and as before after the run."""

from __future__ import annotations

import json
import os

import pytest
import torch

from dassl.engine import TRAINER_REGISTRY
from dassl.utils import InputError
from runs.kernels import WORKSPACE, chosen_kernels


@pytest.fixture(autouse=True)
def no_workspace(monkeypatch):
    monkeypatch.setenv(WORKSPACE, "")  # so that it is put back afterwards
    monkeypatch.delenv(WORKSPACE)


def switches() -> tuple[bool, bool, bool]:
    cudnn = torch.backends.cudnn
    return torch.are_deterministic_algorithms_enabled(), cudnn.deterministic, cudnn.benchmark


def test_the_switches_are_set_and_put_back():
    before = switches()
    with chosen_kernels(True, benchmark=True):
        assert switches() == (True, True, False) and os.environ[WORKSPACE] == ":4096:8"
    assert switches() == before
    with chosen_kernels(False, benchmark=True):
        assert switches() == (before[0], before[1], True)
    with pytest.raises(ZeroDivisionError), chosen_kernels(True):
        1 / 0
    assert switches() == before


def test_a_user_s_own_workspace(monkeypatch):
    monkeypatch.setenv(WORKSPACE, ":16:8")
    with chosen_kernels(True):
        assert os.environ[WORKSPACE] == ":16:8"
    monkeypatch.setenv(WORKSPACE, ":0:0")
    with pytest.raises(InputError, match="CUBLAS_WORKSPACE_CONFIG is ':0:0'"), chosen_kernels(True):
        pass


def test_a_run_says_how_it_computed(tiny, tmp_path):
    """On a CPU, where runs repeat anyway, the numbers are the same."""
    pairs, before = {"OPTIM.MAX_EPOCH": 1}, switches()
    assert tiny.run(tmp_path / "free", "MaPLe", (), pairs) == 0
    assert tiny.run(tmp_path / "fixed", "MaPLe", ("--deterministic",), pairs) == 0
    free, fixed = (json.loads((tmp_path / name / "results.json").read_text()) for name in ("free", "fixed"))
    assert (free["deterministic"], fixed["deterministic"]) == (False, True) and switches() == before
    assert free["results"] == fixed["results"] and free["settings_hash"] == fixed["settings_hash"]


def test_an_operation_without_such_a_kernel(tiny, tmp_path, monkeypatch, capsys):
    step = TRAINER_REGISTRY.get("CoOp").forward_backward

    def forward_backward(self, batch):
        torch.zeros(3).put_(torch.tensor([0]), torch.ones(1))
        return step(self, batch)

    monkeypatch.setattr(TRAINER_REGISTRY.get("CoOp"), "forward_backward", forward_backward)
    assert tiny.run(tmp_path / "fixed", "CoOp", ("--deterministic",)) == 2
    error = capsys.readouterr().err
    assert "no kernel for put_ that gives the same numbers each time" in error and error.strip().count("\n") == 0
    assert not (tmp_path / "fixed" / "results.json").exists()
    assert tiny.run(tmp_path / "free", "CoOp", (), {"OPTIM.MAX_EPOCH": 1}) == 0
