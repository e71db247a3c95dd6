"""Tests of one model that differ in class names alone: the tower runs once, and the answers are the same to the last
bit as when it runs each time."""

from __future__ import annotations

import pytest
import torch

import train
from dassl.engine import TRAINER_REGISTRY, build_trainer
from trainers.base import PromptTrainer
from trainers.shared import seen_images
from trainers.shared.crop_features import says_so
from trainers.shared.seen_images import ENCODES
from trainers.tta.trainer import TestTimeTrainer

TUNED = (
    "VPT", "IVLP", "MaPLe", "PromptSRC", "CoPrompt", "MMRL", "ANPrompt", "TAC", "MMRLpp", "ProMetaR", "MMA", "CLIPLoRA",
    "TwoSFS", "DeFT", "VisPrompt", "MaPLeDePT", "MaPLeATPrompt", "FAP", "AdvMaPLe",
)  # fmt: skip
TYPO = {"TEST.TEXT_NOISE.KIND": "typo", "TEST.TEXT_NOISE.STRENGTH": 0.9}
OFF = {"TEST.FEATURE_BANK": False}


@pytest.fixture(autouse=True)
def nothing_seen(monkeypatch):
    monkeypatch.setattr(seen_images, "_last", seen_images.SeenImages(""))


def answers(trainer) -> tuple[list[torch.Tensor], int]:
    """The logits of each batch of a test, and how many images went through the tower."""
    found, real, before = [], trainer.evaluator.process, trainer.tower_accounts()["images_encoded"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer.evaluator, "process", lambda z, label: found.append(z.clone()) or real(z, label))
        trainer.test()
    return found, trainer.tower_accounts()["images_encoded"] - before


def noisy(tiny, folder, method, **pairs):
    """A trainer whose tests have typing errors in the class names."""
    words = tiny.arguments(folder, method, ("--eval-only",), TYPO | pairs)
    return build_trainer(train.setup_cfg(train.build_parser().parse_args(words)))


def same(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return len(one) == len(other) and all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("method", TUNED)
def test_other_names_for_images_that_were_seen(tiny, tmp_path, method):
    clean, _ = answers(tiny.trainer(tmp_path / "1", method))
    again, encoded = answers(noisy(tiny, tmp_path / "2", method))
    alone, all_of_them = answers(noisy(tiny, tmp_path / "3", method, **OFF))
    assert same(again, alone) and not same(again, clean)
    assert encoded == (0 if method != "VisPrompt" else 5) and all_of_them >= 12  # VisPrompt looks at a batch for facts


def test_every_tuned_tower_takes_part():
    """But those that answer by themselves or at test time."""
    kinds = [TRAINER_REGISTRY.get(name) for name in TRAINER_REGISTRY.registered_names()]
    ours = [kind for kind in kinds if kind.__module__.startswith("trainers.") and issubclass(kind, PromptTrainer)]
    tuned = [x for x in ours if x.frozen_image_encoder is not True and not issubclass(x, TestTimeTrainer)]
    lacking = [x.__name__ for x in tuned if not says_so(x, "images_read_no_names", ENCODES)]
    assert len(tuned) > 20 and not lacking


@pytest.mark.parametrize(
    "other",
    [
        {"SEED": 2},  # another model
        {"DATALOADER.TEST.BATCH_SIZE": 4},
        {"DATASET.SUBSAMPLE_CLASSES": "new"},
        {"TRAINER.MAPLE.PROMPT_DEPTH": 2},
        {"INPUT.PIXEL_STD": (0.3, 0.3, 0.3)},
    ],
    ids=lambda pairs: next(iter(pairs)),
)
def test_another_model_or_other_images_are_seen_anew(tiny, tmp_path, other):
    answers(tiny.trainer(tmp_path / "1", "MaPLe"))
    found, encoded = answers(tiny.trainer(tmp_path / "2", "MaPLe", other))
    alone, all_of_them = answers(tiny.trainer(tmp_path / "3", "MaPLe", other | OFF))
    assert encoded == all_of_them > 0 and same(found, alone)


def test_settings_without_a_learned_value_are_a_part_of_the_model(tiny, tmp_path):
    answers(tiny.trainer(tmp_path / "1", "MMA"))
    assert answers(tiny.trainer(tmp_path / "2", "MMA", {"TRAINER.MMADAPTER.ADAPTER_SCALE": 0.5}))[1] == 12


def test_learned_values_are_a_part_of_the_model(tiny, tmp_path):
    trainer = tiny.trainer(tmp_path / "1", "MaPLe")
    before, _ = answers(trainer)
    with torch.no_grad():
        trainer.model.prompt_learner.compound_prompt_projections[0].bias[3] += 1e-3
    after, encoded = answers(trainer)
    assert encoded == 12 and not same(before, after)


def test_a_class_that_encodes_otherwise_must_say_so(tiny, tmp_path):
    class Named(TRAINER_REGISTRY.get("VPT")):
        def encode_image(self, image):
            return super().encode_image(image) + len(self.classnames[0])

    assert not says_so(Named, "images_read_no_names", ENCODES)
    trainer = tiny.trainer(tmp_path / "1", "VPT")
    trainer.__class__ = Named
    assert [answers(trainer)[1] for _ in range(2)] == [12, 12]


def test_what_has_no_room_is_computed_each_time(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(seen_images, "LIMIT", 5 * 32 * 4)  # one batch of three
    answers(tiny.trainer(tmp_path / "1", "VPT"))
    found, encoded = answers(noisy(tiny, tmp_path / "2", "VPT"))
    alone, _ = answers(noisy(tiny, tmp_path / "3", "VPT", **OFF))
    assert encoded == 7 and same(found, alone)


def test_changing_what_was_given_changes_nothing_kept(tiny, tmp_path):
    alone, _ = answers(tiny.trainer(tmp_path / "1", "VPT", OFF))
    trainer = tiny.trainer(tmp_path / "2", "VPT")
    real = trainer.image_logits
    for _ in range(2):  # what was computed, and what was given out
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(trainer, "image_logits", lambda f: real(f) + f.zero_().sum())
            answers(trainer)
    again, encoded = answers(trainer)
    assert encoded == 0 and same(again, alone)
