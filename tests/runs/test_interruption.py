"""A run that is killed in the middle of an epoch, and started again, ends with the numbers of one that was not."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
import torch
from helpers import METHODS
from helpers import saved_weights as weights
from processes import forked

from dassl.engine import TRAINER_REGISTRY


def killed(tiny, folder: Path, method: str, pairs: dict) -> int:
    """A run that is killed before the second step of its third epoch."""
    kind = TRAINER_REGISTRY.get(method)
    step = kind.forward_backward

    def forward_backward(self, batch):
        if (self.epoch, self.batch_idx) == (2, 1):
            os.kill(os.getpid(), signal.SIGKILL)
        return step(self, batch)

    kind.forward_backward = forward_backward  # in this process alone
    return tiny.run(folder, method, pairs=pairs)


@pytest.mark.parametrize("method", METHODS)
def test_killed_in_mid_epoch_and_resumed(tiny, tmp_path, method):
    torch.set_num_threads(1)
    pairs = {"OPTIM.MAX_EPOCH": 3, "TRAIN.ROLLING_SECONDS": 0}
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert tiny.run(whole, method, pairs=pairs) == 0
    assert forked(lambda: killed(tiny, broken, method, pairs)) == -signal.SIGKILL
    assert list(broken.glob("*/model.pth.tar-2")) and not (broken / "results.json").exists()
    assert not list(broken.glob("*/model.pth.tar-3"))
    assert tiny.run(broken, method, pairs=pairs) == 0
    for name, tensor in weights(broken).items():
        assert torch.equal(tensor, weights(whole)[name]), name
    results = [json.loads((folder / "results.json").read_text())["results"] for folder in (broken, whole)]
    assert results[0] == results[1]
    assert "epoch [3/3]" in (broken / "log.txt").read_text() and "epoch [2/3]" not in (broken / "log.txt").read_text()


def test_promptsrc_does_not_go_on_without_its_average(tiny, tmp_path, capsys, monkeypatch):
    """A checkpoint of an unfinished run that lacks it would give weights that are no average: refused."""
    from trainers.promptsrc import PromptSRC

    after_epoch = PromptSRC.after_epoch

    def stop_after_the_first(self):
        after_epoch(self)
        raise KeyboardInterrupt

    pairs = {"TRAIN.ROLLING_SECONDS": 0}
    with monkeypatch.context() as patch:
        patch.setattr(PromptSRC, "after_epoch", stop_after_the_first)
        assert tiny.run(tmp_path / "run", "PromptSRC", pairs=pairs) == 130
    (file,) = (tmp_path / "run").glob("*/model.pth.tar-1")
    checkpoint = torch.load(file, weights_only=True)
    del checkpoint["extra"]["aggregate"]
    torch.save(checkpoint, file)
    capsys.readouterr()
    assert tiny.run(tmp_path / "run", "PromptSRC", pairs=pairs) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and "does not hold the average" in error
