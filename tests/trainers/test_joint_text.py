"""Trainings in lockstep: one text pass for all of them, the numbers of each as if it were alone."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor

from clipkit import TextEncoder
from dassl.engine import TRAINER_REGISTRY
from trainers.shared import joint_text
from trainers.shared.joint_text import stacks
from trainers.shared.lockstep import Lockstep

NOISE = {"DATASET.NOISE_RATE": 0.5, "DATASET.NOISE_TYPE": "sym_other"}
THREE = [{"SEED": 1}, {"SEED": 2} | NOISE, {"SEED": 3, "OPTIM.LR": 0.004}]
FORMS = {
    "CoOp": ("CoOp", {}),
    "CoOp, a context for each class": ("CoOp", {"TRAINER.COOP.CSC": True}),
    "CoOp, the name in the middle": ("CoOp", {"TRAINER.COOP.CLASS_TOKEN_POSITION": "middle"}),
    "CoOpATPrompt": ("CoOpATPrompt", {}),
    "KgCoOp": ("KgCoOp", {}),
    "PTNL": ("PTNL", {"TRAINER.PTNL.LOSS": "gce"}),
    "DPSEP": ("DPSEP", {}),
    "DPSEP, one polarity longer": ("DPSEP", {"TRAINER.DPSEP.CTX_INIT": "", "TRAINER.DPSEP.N_CTX_NEG": 3}),
}


class Passes:
    """Counts the passes of training steps through the text tower, and their sets of prompts."""

    def __init__(self, monkeypatch) -> None:
        self.sets: list[int] = []
        encode = TextEncoder.encode

        def counted(encoder, text, *more, **named):
            if torch.is_grad_enabled() and any(x.requires_grad for x in joint_text._inputs(text)):
                self.sets.append(len(text.prefix) if text.prefix.dim() == 3 else 1)
            return encode(encoder, text, *more, **named)

        monkeypatch.setattr(TextEncoder, "encode", counted)


def train(tiny, folder, method: str, pairs: dict) -> tuple[list[Tensor], Tensor]:
    """([the logits of each step], test logits after the last)."""
    trainer = tiny.trainer(folder, method, {"OPTIM.MAX_EPOCH": 3, "OPTIM.LR": 0.002, "TEST.NO_TEST": True} | pairs)
    steps: list[Tensor] = []

    class Told(type(trainer)):
        def loss(self, *batch):
            logits, terms = super().loss(*batch)
            steps.append(logits.detach().clone())
            return logits, terms

    trainer.__class__ = Told
    trainer.train()
    trainer.set_model_mode("eval")
    image = next(iter(trainer.test_batches("test")))
    with torch.no_grad():
        logits = trainer.test_logits(trainer.parse_batch_test(image)[0])
    return steps, logits[trainer.answer_name]


@pytest.mark.parametrize("form", FORMS)
def test_three_runs_at_once_are_the_three_runs(tiny, tmp_path, monkeypatch, form):
    method, more = FORMS[form]
    passes = Passes(monkeypatch)
    alone = [train(tiny, tmp_path / f"a{i}", method, more | pairs) for i, pairs in enumerate(THREE)]
    separate, passes.sets = passes.sets, []
    pieces = [partial(train, tiny, tmp_path / f"b{i}", method, more | pairs) for i, pairs in enumerate(THREE)]
    together = Lockstep(pieces).run()
    assert 3 * len(passes.sets) == len(separate) and sum(passes.sets) == sum(separate)
    assert len({float(logits.sum()) for _, logits in alone}) == 3  # three different runs
    for (steps, logits), (expected, expected_logits) in zip(together, alone, strict=True):
        assert len(steps) == len(expected) == 9
        for i in range(4):  # later a difference in rounding has grown, as one in the first context would
            torch.testing.assert_close(steps[i], expected[i], atol=1e-5, rtol=0)
        torch.testing.assert_close(logits, expected_logits, atol=3e-4, rtol=0)


def test_which_methods_stack():
    found = {name for name in TRAINER_REGISTRY.registered_names() if stacks(TRAINER_REGISTRY.get(name))}
    assert {name for name in found if TRAINER_REGISTRY.get(name).__module__.startswith("trainers.")} == {
        "CoOp", "KgCoOp", "PTNL", "DPSEP", "CoOpATPrompt",
    }  # fmt: skip
