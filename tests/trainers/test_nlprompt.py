"""NLPrompt: which items are clean, and what each part trains by."""

from __future__ import annotations

import json
import math

import pytest
import torch

from trainers.label_noise.decisions import Decision
from trainers.label_noise.prompt_ot import transport_plan
from trainers.parts.released_split import full_batches, underflows

N = "TRAINER.NLPROMPT."
NOISY = {"DATASET.NOISE.TYPE": "sym_other", "DATASET.NOISE.RATE": 0.5}


def built(tiny, folder, pairs=None, epoch: int = 0):
    trainer = tiny.trainer(folder, "NLPrompt", pairs)
    trainer.epoch, trainer.batch_idx, trainer.num_batches = epoch, 0, 10**6
    return trainer


def weights(folder) -> torch.Tensor:
    return torch.load(folder / "prompt_learner" / "model.pth.tar-3", weights_only=True)["state_dict"]["ctx"]


@pytest.mark.parametrize("cost", ["prob", "logp"])
def test_clean_is_where_the_plan_agrees_with_the_label(tiny, tmp_path, cost):
    trainer = built(tiny, tmp_path, NOISY | {N + "OT_COST": cost, N + "REG_E": 0.05})
    decision = trainer.decide()
    prob = trainer.training_list.logits().double().softmax(1)
    plan = transport_plan(-prob if cost == "prob" else -prob.log(), 0.05)
    label = [item.label for item in trainer.dm.dataset.train_x]
    assert decision.clean.tolist() == [plan[i].argmax() == y for i, y in enumerate(label)]
    assert 0 < decision.clean.sum() < len(label)
    torch.testing.assert_close(decision.score, torch.stack([len(label) * plan[i, y] for i, y in enumerate(label)]))


def test_share_that_can_be_clean(tiny, tmp_path):
    trainer = built(tiny, tmp_path, {N + "CURRICULUM_EPOCH": 4, N + "BEGIN_RATE": 0.2})
    found = []
    for trainer.epoch in range(6):  # noqa: B007
        found.append(trainer.budget())
    assert found == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0])
    trainer.epoch = 0
    assert trainer.decide().clean.sum() <= 2  # floor(0.2 * 12)
    assert built(tiny, tmp_path).budget() == 1.0


@pytest.mark.parametrize(
    ("part", "loss_all", "name"),
    [("clean", "mae", "ce"), ("noisy", "ce", "mae"), ("all", "mae", "mae"), ("all", "ce", "ce")],
)
def test_losses(tiny, tmp_path, part, loss_all, name):
    trainer = built(tiny, tmp_path, {N + "LOSS_ALL": loss_all})
    image, label = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(3)), torch.tensor([0, 1, 2, 0])
    logits, terms = trainer.loss(image, label, part)
    p_y = [logits.softmax(1)[i, y].item() for i, y in enumerate(label.tolist())]
    expected = sum(-math.log(p) if name == "ce" else 1 - p for p in p_y) / 4
    assert set(terms) == {name} and terms[name].item() == pytest.approx(expected, abs=1e-5)


def test_without_transport_and_with_cross_entropy_it_is_coop_to_the_last_bit(tiny, tmp_path):
    assert tiny.run(tmp_path / "nl", "NLPrompt", pairs={N + "USE_OT": False, N + "LOSS_ALL": "ce"}) == 0
    assert tiny.run(tmp_path / "coop", "CoOp") == 0
    assert torch.equal(weights(tmp_path / "nl"), weights(tmp_path / "coop"))
    assert not (tmp_path / "nl" / "decisions.json").exists()


def test_a_run_decides_each_epoch(tiny, tmp_path):
    assert tiny.run(tmp_path / "run", "NLPrompt", pairs=NOISY) == 0
    found = json.loads((tmp_path / "run" / "decisions.json").read_text())
    assert found["epoch"] == 3 and len(found["clean"]) == len(found["score"]) == 12
    log = (tmp_path / "run" / "log.txt").read_text()
    assert all(f"Clean items in epoch {e}: " in log for e in (1, 2, 3)) and "loss_clean" in log and "loss_noisy" in log


@pytest.mark.parametrize(
    ("pairs", "says"),
    [
        ({N + "OT_COST": "cosine"}, "OT_COST is 'cosine', but must be one of prob, logp"),
        ({N + "LOSS_ALL": "gce"}, "LOSS_ALL is 'gce'"),
        ({N + "REG_E": 0.0}, "REG_E is 0.0, but must be a finite number above 0"),
        ({N + "BEGIN_RATE": 0.0}, "BEGIN_RATE is 0.0"),
        ({"LOSS.NAME": "gce"}, "LOSS.NAME"),
    ],
)
def test_bad_settings_are_one_sentence(tiny, tmp_path, capsys, pairs, says):
    assert tiny.run(tmp_path / "run", "NLPrompt", pairs=pairs) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1 and says in error[0] and not (tmp_path / "run").exists()


# ---------------------------------------------------------------------- the released code's split

RELEASED = {N + "COMPAT": "released", "DATALOADER.TRAIN_X.BATCH_SIZE": 5}


def test_released_split_scores_full_batches_of_random_crops(tiny, tmp_path, monkeypatch):
    """Of 12 items in batches of 5 two are never scored and count as noisy; the others are seen under random crops."""
    trainer = built(tiny, tmp_path, RELEASED | NOISY | {N + "REG_E": 0.05})
    seen = []
    infer = trainer.model_inference
    monkeypatch.setattr(trainer, "model_inference", lambda image: seen.append(image.clone()) or infer(image))
    trainer.set_model_mode("train")
    decision = trainer.decide()
    assert trainer.model.training and [len(x) for x in seen] == [5, 5]
    order = sum(full_batches(trainer, torch.ones(12, dtype=torch.bool), "scored"), [])
    assert len(set(order)) == 10 and order != sorted(order)
    (left,) = [set(range(12)) - set(order)]
    assert not decision.clean[list(left)].any() and not decision.score[list(left)].any()
    prob = torch.cat([infer(x) for x in seen]).double().softmax(1).detach()
    plan, label = transport_plan(-prob, 0.05), trainer.training_list.label
    expected = torch.zeros(12, dtype=torch.bool)
    expected[order] = plan.argmax(1) == label[order]
    assert torch.equal(decision.clean, expected) and expected.any()
    plain = [trainer.dm.dataset.train_x[i].impath for i in order[:5]]
    fixed = trainer.frozen_image(torch.cat([batch["img"] for batch in trainer.training_list.loader]))
    assert len(plain) == 5 and not torch.allclose(fixed[order[:5]], seen[0])
    trainer.epoch = 1
    assert sum(full_batches(trainer, torch.ones(12, dtype=torch.bool), "scored"), []) != order


@pytest.mark.parametrize(
    ("clean", "sizes"),
    [
        (7, {"clean": [5], "noisy": [5]}),
        (4, {"noisy": [5]}),  # fewer than a batch are not trained on at all
        (0, {"clean": [5, 5]}),  # nothing clean: everything, by cross-entropy
        (12, {"clean": [5, 5]}),
    ],
)
def test_released_steps_drop_partial_batches(tiny, tmp_path, clean, sizes):
    trainer = built(tiny, tmp_path, RELEASED)
    mask = torch.arange(12) < clean
    decision = Decision(mask, torch.zeros(12))
    found = {}
    for part, batch in trainer.steps(decision):
        found.setdefault(part, []).append(len(batch))
    assert found == sizes
    ours = built(tiny, tmp_path, {"DATALOADER.TRAIN_X.BATCH_SIZE": 5}).steps(decision)
    assert sorted(sum((batch for _, batch in ours), [])) == list(range(12))  # ours: every item, in its own part


def test_released_transport_underflows_to_class_zero(tiny, tmp_path):
    """At REG_E 0.001 the released kernel is zero throughout, and every item is taken for class 0; at 0.01 it is not."""
    trainer = built(tiny, tmp_path, RELEASED | NOISY | {N + "REG_E": 0.001, "DATALOADER.TRAIN_X.BATCH_SIZE": 4})
    assert torch.equal(trainer.decide().clean, trainer.training_list.label == 0)
    for c, reg, zero in ((100, 0.001, True), (100, 0.01, False), (10, 0.001, True)):
        prob = torch.randn(8, c, generator=torch.Generator().manual_seed(0)).softmax(1)
        assert underflows(prob, reg) == zero
    ours = built(tiny, tmp_path, NOISY | {N + "REG_E": 0.001}).decide().clean
    assert not torch.equal(ours, trainer.training_list.label == 0)


def test_a_released_run_and_one_that_cannot_be(tiny, tmp_path, capsys):
    assert tiny.run(tmp_path / "run", "NLPrompt", pairs=NOISY | RELEASED | {"OPTIM.MAX_EPOCH": 2}) == 0
    log = (tmp_path / "run" / "log.txt").read_text()
    assert "batch [2/2]" in log and "batch [3/3]" not in log
    pairs = RELEASED | {"DATALOADER.TRAIN_X.BATCH_SIZE": 13}
    assert tiny.run(tmp_path / "small", "NLPrompt", pairs=pairs) == 2
    assert "of 12 training items neither the clean nor the noisy ones fill a batch of 13" in capsys.readouterr().err
    assert tiny.run(tmp_path / "bad", "NLPrompt", pairs={N + "COMPAT": "yes"}) == 2
    assert "COMPAT is 'yes', but must be one of none, released" in capsys.readouterr().err
