"""Checkpoint files: layout, content, upstream's object form, damaged files."""

import os
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from dassl.config import get_cfg_default
from dassl.optim import build_lr_scheduler, build_optimizer
from dassl.utils import (
    InputError,
    load_checkpoint,
    load_pretrained_weights,
    resume_from_checkpoint,
    save_checkpoint,
)


def training_state(epochs=3):
    cfg = get_cfg_default()
    opts = ["NAME", "sgd", "LR", 0.1, "MAX_EPOCH", 6, "LR_SCHEDULER", "cosine", "WARMUP_EPOCH", 1]
    opts[::2] = [f"OPTIM.{key}" for key in opts[::2]]
    cfg.merge_from_list([*opts, "OPTIM.WARMUP_TYPE", "constant"])
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    optim = build_optimizer(model, cfg.OPTIM)
    sched = build_lr_scheduler(optim, cfg.OPTIM)
    for _ in range(epochs):
        model(torch.ones(1, 3)).sum().backward()
        optim.step()
        sched.step()
    return model, optim, sched


def save(folder, model, optim, sched, epoch=3, **kwargs):
    state = {"state_dict": model.state_dict(), "epoch": epoch, "val_result": None}
    state |= {"optimizer": optim.state_dict(), "scheduler": sched.state_dict()}
    save_checkpoint(state, str(folder), **kwargs)


def test_layout(tmp_path, capsys):
    save(tmp_path, *training_state(), is_best=True)
    assert sorted(os.listdir(tmp_path)) == ["checkpoint", "model-best.pth.tar", "model.pth.tar-3"]
    assert (tmp_path / "checkpoint").read_text() == "model.pth.tar-3\n"
    assert f"Checkpoint saved to {tmp_path / 'model.pth.tar-3'}\n" in capsys.readouterr().out
    loaded = torch.load(tmp_path / "model.pth.tar-3", weights_only=True)  # no allow-list needed
    assert set(loaded) == {"state_dict", "epoch", "optimizer", "scheduler", "val_result"}
    save(tmp_path, *training_state(), epoch=5, model_name="model-best.pth.tar")
    assert (tmp_path / "checkpoint").read_text() == "model-best.pth.tar\n"
    assert load_checkpoint(str(tmp_path / "model-best.pth.tar"))["epoch"] == 5


def test_module_prefix_is_stripped(tmp_path):
    save_checkpoint({"state_dict": {"module.weight": torch.ones(1)}, "epoch": 1}, str(tmp_path))
    assert list(load_checkpoint(str(tmp_path / "model.pth.tar-1"))["state_dict"]) == ["weight"]


def test_resume(tmp_path, capsys):
    model, optim, sched = training_state()
    save(tmp_path, model, optim, sched)
    new_model, new_optim, new_sched = training_state(0)
    assert resume_from_checkpoint(str(tmp_path), new_model, new_optim, new_sched) == 3
    assert torch.equal(new_model.weight, model.weight)
    assert torch.equal(
        new_optim.state_dict()["state"][0]["momentum_buffer"], optim.state_dict()["state"][0]["momentum_buffer"]
    )
    assert new_sched.get_last_lr() == sched.get_last_lr()
    assert "Previous epoch: 3\n" in capsys.readouterr().out


@pytest.mark.parametrize("optim_class", [torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW])
def test_reads_upstreams_scheduler_objects(tmp_path, optim_class):
    """Upstream pickles the wrapped scheduler with its optimizer; numpy numbers may be in it too."""
    model, optim, sched = training_state()
    own = optim_class(model.parameters(), lr=0.1)
    inner = torch.optim.lr_scheduler.CosineAnnealingLR(own, 6.0)
    own.step()
    inner.step()
    state = {"state_dict": model.state_dict(), "epoch": 3, "optimizer": optim.state_dict()}
    state |= {"scheduler": {**sched.state_dict(), "successor": inner}, "val_result": np.float64(50)}
    torch.save(state, tmp_path / "model.pth.tar-3")
    (tmp_path / "checkpoint").write_text("model.pth.tar-3\n")
    new_model, new_optim, new_sched = training_state(0)
    assert resume_from_checkpoint(str(tmp_path), new_model, new_optim, new_sched) == 3
    assert new_sched.successor.optimizer is new_optim
    assert new_sched.successor.last_epoch == inner.last_epoch


def test_missing(tmp_path):
    with pytest.raises(ValueError, match="None"):
        load_checkpoint(None)
    with pytest.raises(FileNotFoundError, match="nothing.pth"):
        load_checkpoint(str(tmp_path / "nothing.pth"))
    model = nn.Linear(1, 1)
    with pytest.raises(InputError, match="no file called checkpoint"):
        resume_from_checkpoint(str(tmp_path), model)
    for text in ("model.pth.tar-9\n", ""):
        (tmp_path / "checkpoint").write_text(text)
        with pytest.raises(InputError, match=f"{tmp_path / 'checkpoint'} names the file '{text.strip()}'"):
            resume_from_checkpoint(str(tmp_path), model)


class Evil:
    def __reduce__(self):
        return os.mkdir, ("executed",)


def test_damaged_or_foreign_files(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(tmp_path, *training_state())
    whole = (tmp_path / "model.pth.tar-3").read_bytes()
    contents = {"cut": whole[:1000], "empty": b"", "text": b"hello world, no checkpoint"}
    contents["pickle"] = pickle.dumps(Evil(), protocol=2)
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=str(tmp_path / name)):
            load_checkpoint(str(tmp_path / name))
        assert f'Unable to load checkpoint from "{tmp_path / name}"' in capsys.readouterr().out
    torch.save({"state_dict": Evil()}, tmp_path / "evil")
    with pytest.raises(InputError, match="mkdir"):
        load_checkpoint(str(tmp_path / "evil"))
    assert not (tmp_path / "executed").exists()
    torch.save(torch.ones(1), tmp_path / "tensor")
    with pytest.raises(InputError, match="no state dict.*a Tensor"):
        load_checkpoint(str(tmp_path / "tensor"))


def test_mismatch_is_refused(tmp_path):
    model, optim, sched = training_state()
    save(tmp_path, model, optim, sched)
    with pytest.raises(InputError, match=r"weight has shape \(2, 3\) instead of \(4, 3\).*another output folder"):
        resume_from_checkpoint(str(tmp_path), nn.Linear(3, 4))
    with pytest.raises(InputError, match="0.weight is missing"):
        resume_from_checkpoint(str(tmp_path), nn.Sequential(nn.Linear(3, 2)))


def test_frozen_parts_may_be_missing(tmp_path):
    """Checkpoints of the learnable part alone load into the whole model."""
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[0].requires_grad_(False)
    learnable = {k: v + 1 for k, v in model.state_dict().items() if k.startswith("1.")}
    save_checkpoint({"state_dict": learnable, "epoch": 1}, str(tmp_path))
    assert resume_from_checkpoint(str(tmp_path), model) == 1
    assert torch.equal(model[1].weight, learnable["1.weight"])


def test_pretrained_weights(tmp_path, capsys):
    source = {"module.weight": torch.ones(2, 3), "bias": torch.ones(5), "other": torch.ones(1)}
    torch.save({"state_dict": source}, tmp_path / "a.pth")
    model = nn.Linear(3, 2)
    load_pretrained_weights(model, str(tmp_path / "a.pth"))
    assert torch.equal(model.weight, torch.ones(2, 3))
    out = capsys.readouterr().out
    assert "Successfully loaded pretrained weights" in out
    assert "['bias', 'other']" in out
    torch.save({"x": torch.ones(1)}, tmp_path / "b.pth")
    with pytest.warns(UserWarning, match="no key matches"):
        load_pretrained_weights(model, str(tmp_path / "b.pth"))
