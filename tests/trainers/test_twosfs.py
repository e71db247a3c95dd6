"""2SFS: the two stages, the head's rows by name, and what a test of other classes answers with."""

from __future__ import annotations

import math

import pytest
import torch
from helpers import NAMES

from clipkit import normalize

N = "TRAINER.TWOSFS."


def images(count: int = 4) -> torch.Tensor:
    return torch.randn(count, 3, 16, 16, generator=torch.Generator().manual_seed(2))


def batch() -> dict:
    return {"img": images(), "label": torch.arange(4) % 3}


@pytest.fixture
def trainer(tiny, tmp_path):
    trainer = tiny.trainer(tmp_path, "TwoSFS", {N + "STEPS": 10, "OPTIM.NAME": "adamw", "OPTIM.LR": 0.01})
    trainer.set_model_mode("train")
    trainer.epoch = trainer.batch_idx = 0
    trainer.num_batches = 10
    return trainer


def state(trainer) -> dict[str, torch.Tensor]:
    return {key: tensor.clone() for key, tensor in trainer.model.state_dict().items()}


def test_starts_at_zero_shot_clip_in_both_stages(tiny, tmp_path, trainer):
    """After a first stage without steps the head's logits are zero-shot CLIP's."""
    texts = [f"a photo of a {name}." for name in trainer.classnames]
    expected = trainer.logits(trainer.frozen_image(images()), trainer.frozen_text(texts))
    second = tiny.trainer(tmp_path / "second", "TwoSFS", {N + "ALPHA": 0.0})
    for one in (trainer, second):
        torch.testing.assert_close(one.loss(images(), torch.arange(4) % 3)[0], expected, atol=1e-5, rtol=0)
    assert second.model.head.any() and not trainer.model.head.any()
    second.set_model_mode("eval")
    torch.testing.assert_close(second.model_inference(images()), expected, atol=1e-5, rtol=0)


def test_each_stage_moves_its_own_values_at_its_own_rate(trainer):
    """6 steps of layer norms, then 4 of the head from the text features of the moved towers; AdamW starts anew, and
    weight decay moves nothing that has no gradient."""
    rates = []
    for step in range(10):
        before = state(trainer)
        rates.append(trainer.get_current_lr())
        if step == 6:
            with torch.no_grad():
                tuned = trainer.encode_names(trainer.texts)
        trainer.forward_backward(batch())
        moved = {key for key, tensor in trainer.model.state_dict().items() if not torch.equal(tensor, before[key])}
        if step < 6:
            assert "head" not in moved and len(moved) >= 20
        else:
            assert moved == {"head"}
        if step == 6:
            moved_by = (trainer.model.head - tuned * (1 - 0.01 * trainer.cfg.OPTIM.WEIGHT_DECAY)).abs()
            assert 0.0099 < moved_by.max() < 0.0101  # Adam's first step: the rate, whatever the gradient
    half = lambda t, steps: 1e-6 + (0.01 - 1e-6) / 2 * (1 + math.cos(math.pi * t / steps))  # noqa: E731
    assert rates == pytest.approx([half(t, 6) for t in range(6)] + [half(t, 4) for t in range(4)], rel=1e-9)


def test_second_stage_leaves_the_towers_alone(trainer, monkeypatch):
    trainer.steps_done = 6
    trainer.loss(images(), torch.arange(4) % 3)
    monkeypatch.setattr(type(trainer), "encode_names", None)  # the text is not run again
    f = trainer.loss(images(), torch.arange(4) % 3)[1]["ce"]
    f.backward()
    assert [name for name, p in trainer.model.named_parameters() if p.grad is not None] == ["head"]


def test_a_skipped_step_counts_neither_for_the_rate_nor_for_the_stages(trainer, monkeypatch):
    scales = iter([8.0, 4.0, 4.0, 4.0])  # before and after two steps: the first is skipped
    monkeypatch.setattr(trainer.scaler, "get_scale", lambda: next(scales))
    rate = trainer.get_current_lr()
    trainer.forward_backward(batch())
    assert trainer.steps_done == 0 and trainer.get_current_lr() == rate
    trainer.forward_backward(batch())
    assert trainer.steps_done == 1 and trainer.get_current_lr() < rate


def test_names_choose_between_head_and_text(tiny, tmp_path):
    """The base run's checkpoint on all classes: base ones by their rows wherever they stand, new ones by their names
    under the tuned tower; and the order of names does not matter."""
    assert tiny.run(tmp_path / "run", "TwoSFS") == 0
    everything = tiny.trainer(tmp_path / "all", "TwoSFS", {"DATASET.SUBSAMPLE_CLASSES": "all"})
    assert everything.model.head.shape[0] == 5
    everything.load_model(str(tmp_path / "run"), 3)
    everything.set_model_mode("eval")
    head = everything.model.head
    assert head.shape[0] == 3 and everything.model.known == NAMES[:3]
    with torch.no_grad():
        found, tuned = everything.encode_text(), everything.encode_names(everything.texts)
        torch.testing.assert_close(found[:3], normalize(head))
        torch.testing.assert_close(found[3:], tuned[3:])
        assert not torch.allclose(found[:3], tuned[:3], atol=1e-3)
        everything.classnames = everything.described = everything.classnames[::-1]
        everything.texts = everything.prepare_names(everything.classnames)
        torch.testing.assert_close(everything.encode_text(), found.flip(0), atol=1e-6, rtol=0)
    frozen = everything.frozen_text([f"a photo of a {name}." for name in NAMES])
    assert not torch.allclose(tuned, frozen, atol=1e-3)


def test_a_file_without_class_names(tiny, tmp_path, capsys):
    assert tiny.run(tmp_path / "run", "TwoSFS") == 0
    file = tmp_path / "run" / "two_stage" / "model.pth.tar-3"
    checkpoint = torch.load(file, weights_only=True)
    checkpoint["classnames"] = []
    torch.save(checkpoint, file)
    flags = ("--eval-only", "--model-dir", tmp_path / "run", "--load-epoch", 3)
    assert tiny.run(tmp_path / "same", "TwoSFS", flags) == 0
    assert tiny.run(tmp_path / "new", "TwoSFS", flags, {"DATASET.SUBSAMPLE_CLASSES": "new"}) == 2
    assert "does not name its classes" in capsys.readouterr().err
