"""One pass over the clean items, then one over the noisy ones: what is served when, and what is written down."""

from __future__ import annotations

import json

import pytest
import torch

from trainers.coop import CoOp
from trainers.label_noise.decisions import Decision, record_decision
from trainers.parts.deciding_trainer import CleanThenNoisy

ITEMS = 12  # three classes, four images each, in batches of four


class Judge(CleanThenNoisy, CoOp):
    """Decides as it is told; notes the part and the items of each step."""

    clean: torch.Tensor

    def decide(self) -> Decision | None:
        return None if self.clean is None else Decision(self.clean, self.clean.float() / 2)

    def loss(self, image, label, part: str):
        assert part == self.noted[-1][0]
        return super().loss(image, label)

    def forward_backward(self, batch: dict) -> dict[str, float]:
        self.noted.append(
            (batch.get("part", "all"), batch["index"].tolist(), batch["img"].clone(), self.get_current_lr())
        )
        assert (self.batch_idx + 1 == self.num_batches) == (len(self.noted) == self.expected)
        self.summary = super().forward_backward(batch)
        return self.summary


def judge(tiny, folder, clean, expected: int, pairs=None, epoch: int = 1) -> Judge:
    """After one epoch, the second."""
    trainer = tiny.trainer(folder, "CoOp", pairs)
    trainer.__class__ = Judge
    trainer.clean = None if clean is None else torch.tensor(clean)
    trainer.noted, trainer.expected = [], expected
    trainer.epoch = epoch
    trainer.seed_epoch()
    trainer.run_epoch()
    assert len(trainer.noted) == expected
    return trainer


def test_clean_items_first_then_noisy_ones_each_once(tiny, tmp_path):
    clean = [i % 12 in (0, 2, 3, 5, 8) for i in range(ITEMS)]
    trainer = judge(tiny, tmp_path, clean, expected=4)
    assert [part for part, *_ in trainer.noted] == ["clean", "clean", "noisy", "noisy"]
    assert [len(items) for _, items, *_ in trainer.noted] == [4, 1, 4, 3]
    for name, wanted in (("clean", {0, 2, 3, 5, 8}), ("noisy", {1, 4, 6, 7, 9, 10, 11})):
        served = [i for part, items, *_ in trainer.noted if part == name for i in items]
        assert set(served) == wanted and len(served) == len(wanted)
    assert trainer.summary["loss_noisy"] == trainer.summary["loss"] and "loss_clean" not in trainer.summary


def test_the_rate_moves_once_an_epoch(tiny, tmp_path):
    trainer = judge(tiny, tmp_path, [True] * 5 + [False] * 7, expected=4)
    assert trainer.sched.last_epoch == 1 and len({lr for *_, lr in trainer.noted}) == 1


@pytest.mark.parametrize(("clean", "part"), [(True, "clean"), (False, "noisy")])
def test_an_empty_part_is_left_out(tiny, tmp_path, clean, part):
    trainer = judge(tiny, tmp_path, [clean] * ITEMS, expected=3)
    assert [name for name, *_ in trainer.noted] == [part] * 3 and trainer.sched.last_epoch == 1


def test_without_a_decision_it_is_an_ordinary_epoch(tiny, tmp_path):
    trainer = judge(tiny, tmp_path, None, expected=3)
    plain = tiny.trainer(tmp_path / "coop")
    plain.epoch = 1
    plain.seed_epoch()
    plain.run_epoch()
    assert {part for part, *_ in trainer.noted} == {"all"}
    assert torch.equal(trainer.model.ctx, plain.model.ctx)
    assert not (tmp_path / "decisions.json").exists()


def test_batches_depend_on_seed_and_epoch_alone(tiny, tmp_path):
    clean = [i < 5 for i in range(ITEMS)]

    def served(name: str, pairs=None, epoch: int = 1) -> list:
        return judge(tiny, tmp_path / name, clean, 4, pairs, epoch).noted

    one, workers = served("one"), served("workers", {"DATALOADER.NUM_WORKERS": 2})
    for mine, theirs in zip(one, workers, strict=True):
        assert mine[:2] == theirs[:2] and torch.equal(mine[2], theirs[2])
    for other in (served("epoch", epoch=2), served("seed", {"SEED": 2})):
        assert [items for _, items, *_ in other] != [items for _, items, *_ in one]


def test_images_are_under_the_training_transform(tiny, tmp_path):
    """Another crop each epoch, of the item that the index names."""
    plain = {"INPUT.TRANSFORMS": ("normalize",)}
    trainer = judge(tiny, tmp_path, [True] * ITEMS, 3, plain)
    dataset = trainer.train_loader_x.dataset
    for _, items, image, _ in trainer.noted:
        assert torch.equal(image, torch.stack([dataset[i]["img"] for i in items]))
    first, second = (
        judge(tiny, tmp_path / str(epoch), [True] * ITEMS, 3, {"OPTIM.LR": 1e-4}, epoch).noted for epoch in (0, 1)
    )
    crops = [
        {i: x for _, items, image, _ in noted for i, x in zip(items, image, strict=True)} for noted in (first, second)
    ]
    assert not any(torch.equal(crops[0][i], crops[1][i]) for i in range(ITEMS))


def test_the_last_decision_stays_on_disk(tiny, tmp_path):
    trainer = judge(tiny, tmp_path / "run", [i < 5 for i in range(ITEMS)], expected=4)
    file = tmp_path / "run" / "decisions.json"
    expected = {"epoch": 2, "clean": [1] * 5 + [0] * 7, "score": [0.5] * 5 + [0.0] * 7}
    assert json.loads(file.read_text()) == expected
    trainer.epoch = 6
    record_decision(trainer, Decision(torch.tensor([False, True]), torch.tensor([0.25, 1.0])))
    assert json.loads(file.read_text()) == {"epoch": 7, "clean": [0, 1], "score": [0.25, 1.0]}
    assert [p.name for p in file.parent.iterdir()] == ["decisions.json"]
