"""A trainer in NLPrompt's manner, which reads the true label of each image out of the batch."""

from __future__ import annotations

import pytest
from plugin_files import record

from train import run

COUNTING = """
from dassl.engine import TRAINER_REGISTRY
from trainers.coop import CoOp
seen = []

@TRAINER_REGISTRY.register()
class CountsWrong(CoOp):
    def forward_backward(self, batch):
        seen.append((batch["label"].tolist(), batch["target"].tolist(), batch["gttarget"].tolist()))
        return super().forward_backward(batch)

    def after_train(self):
        print("seen", seen)
        super().after_train()
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    file = tmp_path_factory.mktemp("plugin") / "counts_wrong.py"
    file.write_text(COUNTING)
    return file


@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_true_labels_reach_a_plugin(file, tiny, tmp_path, rate):
    noise = {"DATASET.NOISE_RATE": rate, "OPTIM.MAX_EPOCH": 1}  # the field's own spelling
    assert run(tiny.arguments(tmp_path / "run", "CountsWrong", ("--plugin", file), noise)) == 0
    (line,) = (text for text in (tmp_path / "run" / "log.txt").read_text().splitlines() if text.startswith("seen "))
    batches = eval(line.removeprefix("seen "))
    assert all(label == target for label, target, _ in batches)
    wrong = sum(a != b for _, target, true in batches for a, b in zip(target, true, strict=True))
    assert wrong == (record(tmp_path / "run")["noise"] or {"flipped": 0})["flipped"] and (wrong > 0) is (rate > 0)
