"""LP++: its whole training against a plain loop, the choice of an epoch, and classes that it does not know."""

from __future__ import annotations

import json

import pytest
import torch

from tests.plain.caches import lp_plus_plus
from trainers.parts import frozen_features

N = "TRAINER.LPPP."
SGD = {"OPTIM.NAME": "sgd", "OPTIM.WEIGHT_DECAY": 0.0, "OPTIM.MAX_EPOCH": 25, "TRAIN.PRINT_FREQ": 100}


def values(trainer) -> tuple[torch.Tensor, ...]:
    fc = trainer.model.fc
    return tuple(x.detach().clone() for x in (fc.weight, fc.bias, trainer.model.alpha_vec))


@pytest.mark.parametrize("kind", ["accumulated", "last"])
def test_every_epoch_against_a_plain_loop(tiny, tmp_path, kind):
    trainer = tiny.trainer(tmp_path, "LPpp", SGD | {N + "SELECT": "last", N + "ALPHA_GRAD": kind})
    found, after, bias = [], trainer.after_epoch, trainer.model.fc.bias.detach().clone()

    def noted():
        found.append(values(trainer))
        after()

    trainer.after_epoch = noted
    trainer.train()
    expected = lp_plus_plus(trainer.f, trainer.y, trainer.w, bias, 25, kind == "accumulated")
    for ours, theirs in zip(found, expected, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            torch.testing.assert_close(a, b, atol=1e-4 * b.abs().max().item(), rtol=1e-4)
    assert not torch.equal(found[8][2], found[9][2]) and torch.equal(found[9][2], found[18][2])
    trainer.set_model_mode("eval")
    W, b, alpha = expected[-1]
    logits = trainer.f @ W.t() + b + alpha * (trainer.f @ trainer.w.t())
    torch.testing.assert_close(trainer.image_logits(trainer.f).detach(), logits, atol=2e-3, rtol=1e-3)
    assert sum(p.numel() for p in trainer.model.parameters()) == 3 * (32 + 2)


def test_the_last_best_epoch_is_taken(tiny, tmp_path, monkeypatch):
    trainer = tiny.trainer(tmp_path, "LPpp", SGD | {"OPTIM.MAX_EPOCH": 4})
    right, seen, choose = iter([5, 6, 6, 4]), [], trainer.choose_epoch

    def known(which, key):
        seen.append(values(trainer))
        k = next(right)
        with monkeypatch.context() as patch:
            patch.setattr(trainer, "choosing", lambda *_: (torch.zeros(10, 32), torch.zeros(10, dtype=torch.long)))
            patch.setattr(trainer, "image_logits", lambda f: torch.tensor([[1.0, 0]] * k + [[0, 1.0]] * (10 - k)))
            choose(which, key)

    monkeypatch.setattr(trainer, "choose_epoch", known)
    trainer.train()
    assert all(torch.equal(a, b) for a, b in zip(values(trainer), seen[2], strict=True))
    assert trainer.record["chosen_epoch"]["epoch"] == 3


def test_images_that_an_epoch_is_chosen_on(tiny, tmp_path):
    trainer = tiny.trainer(tmp_path, "LPpp", SGD)
    many = frozen_features._items(
        trainer, "val_shots"
    )  # 4 shots, 2 validation images a class: each comes twice or more
    assert sorted(x.label for x in many) == 4 * [0] + 4 * [1] + 4 * [2]
    assert {x.impath for x in many} == {x.impath for x in trainer.dm.dataset.val}
    assert len(frozen_features._items(trainer, "val_fewshot")) == 6


def test_interrupted_and_resumed(tiny, tmp_path, monkeypatch):
    from trainers.lppp import LPpp

    assert tiny.run(tmp_path / "whole", "LPpp", pairs=SGD) == 0
    after = LPpp.after_epoch

    def stop(self):
        after(self)
        if self.epoch == 13:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(LPpp, "after_epoch", stop)
        assert tiny.run(tmp_path / "run", "LPpp", pairs=SGD | {"TRAIN.ROLLING_SECONDS": 0}) == 130
    assert tiny.run(tmp_path / "run", "LPpp", pairs=SGD) == 0
    states = [
        torch.load(tmp_path / part / "linear_probe" / "model.pth.tar-25", weights_only=True)["state_dict"]
        for part in ("whole", "run")
    ]
    assert all(torch.equal(states[1][key], tensor) for key, tensor in states[0].items())
    first, second = (json.loads((tmp_path / part / "results.json").read_text()) for part in ("whole", "run"))
    assert first["results"] == second["results"] and first["chosen_epoch"] == second["chosen_epoch"]


def test_new_classes_are_refused_in_one_sentence(tiny, tmp_path, capsys):
    everything = SGD | {"DATASET.SUBSAMPLE_CLASSES": "all"}
    assert tiny.run(tmp_path / "base", "LPpp", pairs=SGD) == 0
    assert tiny.run(tmp_path / "all", "LPpp", pairs=everything) == 0

    def test(part: str, classes: str) -> int:
        flags = ("--eval-only", "--model-dir", tmp_path / part, "--load-epoch", 25)
        return tiny.run(tmp_path / f"{part} on {classes}", "LPpp", flags, {"DATASET.SUBSAMPLE_CLASSES": classes})

    capsys.readouterr()
    assert test("base", "new") == 2 and test("base", "all") == 2
    assert "LPpp has a row for each class that it was trained on, and 'plain tree' is none" in capsys.readouterr().err
    assert test("base", "base") == 0 and test("all", "new") == 0  # classes that it knows, found by name


@pytest.mark.parametrize("protocol", ["base2new_test", "xd_test", "open_world_test"])
def test_protocols_of_new_classes_are_refused_before_anything_runs(protocol):
    from dassl.utils import InputError
    from runs.protocols import plan

    with pytest.raises(InputError, match=f"LPpp can only predict its training classes, so it has no {protocol}"):
        plan(protocol, "LPpp", "digits", 1, {}, [])


def test_a_suite_plans_the_training_alone(tmp_path):
    from bench.suites.suite import read_suite

    file = tmp_path / "both.yaml"
    file.write_text(
        "name: both\nblocks:\n  - {name: a, protocol: base2new, methods: [LPpp, CoOp], datasets: [digits]}\n"
    )
    steps = {run.method: [step.protocol for step in run.job] for run in read_suite(file).runs}
    assert steps == {"LPpp": ["base2new_train"], "CoOp": ["base2new_train", "base2new_test"]}
