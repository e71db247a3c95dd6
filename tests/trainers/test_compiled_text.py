"""TRAIN.COMPILE: the numbers of a step to rounding, one graph, and a sentence where it cannot work."""

from __future__ import annotations

import pytest
import torch

from clipkit import InputError
from runs.silent_keys import identifying
from trainers.shared import compiled_text

EMBEDDED = {
    "MODEL.BACKBONE.NAME": "Embedded", "MODEL.BACKBONE.PATH": "", "INPUT.SIZE": (48, 48), "OPTIM.MAX_EPOCH": 1,
    "TEST.NO_TEST": True,
}  # fmt: skip


def steps(tiny, folder, method: str, compiled: bool) -> tuple[list, list]:
    """(logits of each step, gradients of each step) of a training."""
    trainer = tiny.trainer(folder, method, EMBEDDED | {"TRAIN.COMPILE": compiled})
    logits, gradients = [], []

    class Told(type(trainer)):
        def loss(self, *batch):
            found, terms = super().loss(*batch)
            logits.append(found.detach().clone())
            return found, terms

        def end_step(self):
            gradients.append(self.model.ctx.grad.clone())
            super().end_step()

    trainer.__class__ = Told
    trainer.train()
    return logits, gradients


@pytest.mark.parametrize("method", ["CoOp", "KgCoOp"])
@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_a_compiled_training_is_the_other_to_rounding(tiny, tmp_path, monkeypatch, backend, method, long_tests):
    if backend == "inductor" and not (long_tests and compiled_text.has_cpp_compiler()):
        pytest.skip("a minute of a C++ compiler: pytest --long")
    monkeypatch.setattr(compiled_text, "BACKEND", backend)
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    logits, gradients = steps(tiny, tmp_path / "compiled", method, True)
    counted = torch._dynamo.utils.counters
    assert counted["stats"]["unique_graphs"] == 1 and not counted["graph_break"]
    expected, theirs = steps(tiny, tmp_path / "plain", method, False)
    assert len(logits) == len(expected) > 1
    for one, other in zip(logits, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-6)
    for one, other in zip(gradients, theirs, strict=True):
        assert (one - other).abs().max() <= 2e-5 * other.abs().max()


def test_it_identifies_a_run_where_it_is_on():
    """Its numbers are equal to rounding only."""
    assert identifying({"TRAIN.COMPILE": False}, ()) == {}
    assert identifying({"TRAIN.COMPILE": True}, ()) == {"TRAIN.COMPILE": True}


@pytest.mark.parametrize("method", ["MaPLe", "ProGrad", "ZeroshotCLIP"])
def test_other_methods_refuse_it(tiny, tmp_path, method, capsys):
    assert tiny.run(tmp_path / "run", method, pairs={"TRAIN.COMPILE": True}) == 2
    assert f"which {method} is not; set TRAIN.COMPILE False" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_without_a_compiler(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(compiled_text, "has_cpp_compiler", lambda: False)
    with pytest.raises(InputError, match="needs a C\\+\\+ compiler on a CPU, and none is found: install g\\+\\+"):
        tiny.trainer(tmp_path / "run", "CoOp", {"TRAIN.COMPILE": True})


def test_a_failure_of_the_compiler_is_told(tiny, tmp_path, monkeypatch, capsys):
    def broken(graph, inputs):
        raise RuntimeError("no such instruction")

    monkeypatch.setattr(compiled_text, "BACKEND", broken)
    torch._dynamo.reset()
    assert tiny.run(tmp_path / "run", "CoOp", pairs={"TRAIN.COMPILE": True}) == 2
    said = capsys.readouterr().err
    assert "TRAIN.COMPILE is True, but torch.compile fails here" in said and "no such instruction" in said
    assert not (tmp_path / "run").exists()
