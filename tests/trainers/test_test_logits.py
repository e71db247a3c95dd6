"""A built method answers for images by itself, in a notebook or a foreign loop, and not in its own `test()` alone."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from helpers import METHODS

SEVERAL = {"MMRL": ("class_feature", "fused"), "ANPrompt": ("align", "robust", "final")}
SEVERAL["MMRLpp"] = SEVERAL["MMRL"]
SEVERAL |= dict.fromkeys(("KgCoOpDePT", "MaPLeDePT"), ("host", "fused"))
TEST_TIME = ("TPT", "RTPT", "CTPT", "OTPT", "TPS", "SSTPT", "ZERO", "MTA", "TTC", "TDA")
NAMES = (*METHODS, "DPSEP", "PTNL", "ZeroshotCLIP", "CoOpSAR")


def moved(trainer):
    """Away from where all methods start alike."""
    torch.manual_seed(3)
    with torch.no_grad():
        for p in trainer.model.parameters() if trainer.model is not None else ():
            p.add_(0.1 * torch.randn_like(p))
    return trainer


@pytest.mark.parametrize("method", NAMES)
def test_a_loop_of_ones_own_finds_what_the_test_finds(tiny, tmp_path, method):
    trainer = moved(tiny.trainer(tmp_path, method))
    trainer.set_model_mode("eval")
    answers, others, labels = [], [], []
    with torch.no_grad():
        for batch in trainer.test_loader:
            answers.append(trainer.model_inference(batch["img"]))
            found = trainer.test_logits(batch["img"])
            assert torch.equal(found[trainer.answer_name], answers[-1])
            others.append({name: logits.argmax(1) for name, logits in found.items()})
            labels.append(batch["label"])
    label = torch.cat(labels)
    accuracy = 100.0 * (torch.cat(answers).argmax(1) == label).float().mean().item()
    assert trainer.test() == pytest.approx(accuracy)
    names = SEVERAL.get(method, ())
    by_hand = {name: 100.0 * (torch.cat([o[name] for o in others]) == label).float().mean().item() for name in names}
    assert trainer.record.get("other_accuracies", {}) == pytest.approx(by_hand)


def state(trainer) -> dict[str, object]:
    """All that an answer might change: the record, weights, the random stream, and plain attributes."""
    kinds = (bool, int, float, str, torch.Tensor, type(None))
    found = {f".{name}": value for name, value in vars(trainer).items() if isinstance(value, kinds)}
    found |= {} if trainer.model is None else trainer.model.state_dict()
    found |= {"record": json.dumps(trainer.record), "random": torch.random.get_rng_state()}
    return copy.deepcopy(found)


@pytest.mark.parametrize("method", [*NAMES, *TEST_TIME])
def test_an_answer_changes_nothing(tiny, tmp_path, method):
    """Asked twice, a method answers the same, and is what it was."""
    # all views of a grey picture are alike: under this mask there are no weights for them, which a test counts
    pairs = {"TRAINER.TTA.ENS_SELF_MASK": "ge1", "TRAINER.TTA.ENSEMBLE": "reliability"} if method in TEST_TIME else {}
    trainer = moved(tiny.trainer(tmp_path, method, pairs))
    trainer.set_model_mode("eval")
    image = torch.zeros_like(next(iter(trainer.test_loader))["img"])[:2]
    before = state(trainer)
    with torch.no_grad():
        answers = [trainer.model_inference(image) for _ in range(2)]
        if not trainer.answers_itself():
            answers += [trainer.test_logits(image)[trainer.answer_name] for _ in range(2)]
    for answer in answers:
        torch.testing.assert_close(answer, answers[0], rtol=0, atol=0)
    after = state(trainer)
    same = {k: torch.equal(v, after[k]) if isinstance(v, torch.Tensor) else v == after[k] for k, v in before.items()}
    assert all(same.values()), [key for key, equal in same.items() if not equal]


@pytest.mark.parametrize("method", ["CoOp", "MaPLe", "MMRL", "ANPrompt", "VisPrompt"])
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_a_step_changes_the_answer(tiny, tmp_path, method, mode):
    """Features of the prompts before the step are not used for those after it, whatever the model's mode."""
    trainer = moved(tiny.trainer(tmp_path, method))
    trainer.before_train()
    trainer.epoch = trainer.batch_idx = 0
    trainer.num_batches = 99
    trainer.set_model_mode(mode)
    batch = next(iter(trainer.train_loader_x))
    image = next(iter(trainer.test_loader))["img"]
    with torch.no_grad():
        trainer.model_inference(image)
    trainer.forward_backward(batch)
    with torch.no_grad():
        seed = torch.random.get_rng_state()
        found = trainer.model_inference(image)
        trainer._kept.clear()
        torch.random.set_rng_state(seed)
        torch.testing.assert_close(found, trainer.model_inference(image), rtol=0, atol=0)


def test_a_second_test_counts_from_the_beginning(tiny, tmp_path):
    trainer = moved(tiny.trainer(tmp_path, "MMRL"))
    trainer.test()
    first = dict(trainer.record["other_accuracies"])
    trainer.test()
    assert trainer.record["other_accuracies"] == first
    json.dumps(first)
