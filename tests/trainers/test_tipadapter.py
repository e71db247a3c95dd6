"""Tip-Adapter: the cache, its votes, the search for alpha and beta and what it may look at; and the trained keys."""

from __future__ import annotations

import json
import math

import pytest
import torch

from clipkit import InputError, normalize
from datasets.templates import SELECTED, custom_template
from trainers.parts import frozen_features
from trainers.parts.tip_search import best_of_grid, grid

N = "TRAINER.TIPADAPTER."


def images(count: int = 4) -> torch.Tensor:
    return torch.randn(count, 3, 16, 16, generator=torch.Generator().manual_seed(2))


def trained(tiny, folder, method: str = "TipAdapter", pairs: dict | None = None):
    """A trainer after its whole run."""
    trainer = tiny.trainer(folder, method, {"OPTIM.MAX_EPOCH": 1} | (pairs or {}))
    trainer.train()
    trainer.set_model_mode("eval")
    return trainer


def test_keys_are_means_of_augmented_views(tiny, tmp_path):
    trainer = trained(tiny, tmp_path / "a", pairs={N + "VIEWS": 3})
    keys = trainer.model.adapter.weight
    assert keys.shape == (12, 32) and trainer.model.values.tolist() == [x.label for x in trainer.dm.dataset.train_x]
    torch.testing.assert_close(keys.norm(dim=1), torch.ones(12))
    one = trained(tiny, tmp_path / "b", pairs={N + "VIEWS": 1}).model.adapter.weight
    assert not torch.allclose(keys, one, atol=1e-4)
    # without a crop or a flip all views are the picture itself, and the mean of one is that of many
    plain = {"INPUT.TRANSFORMS": ("center_crop", "normalize"), N + "SEARCH": "none"}
    fixed = trained(tiny, tmp_path / "c", pairs=plain)
    pictures = torch.stack([fixed.train_loader_x.dataset[i]["img"] for i in range(12)])
    torch.testing.assert_close(fixed.model.adapter.weight.detach(), fixed.frozen_image(pictures), atol=1e-6, rtol=0)
    assert not any(p.requires_grad for p in trainer.model.parameters())


def test_keys_come_from_the_bank(tiny, tmp_path, monkeypatch):
    first = trained(tiny, tmp_path / "a", pairs={N + "VIEWS": 2}).model.adapter.weight
    monkeypatch.setattr(frozen_features, "ListedBatches", None)  # no image is read again
    assert torch.equal(trained(tiny, tmp_path / "b", pairs={N + "VIEWS": 2}).model.adapter.weight, first)


def test_votes(tiny, tmp_path):
    """alpha 0 is zero-shot CLIP; a large beta leaves the nearest key alone."""
    trainer = trained(tiny, tmp_path, pairs={N + "SEARCH": "none", N + "ALPHA": 0.0})
    f = trainer.frozen_image(images())
    texts = [custom_template("Tiny").format(name) for name in trainer.classnames]
    zero_shot = trainer.logits(f, trainer.frozen_text(texts))
    torch.testing.assert_close(trainer.image_logits(f), zero_shot, atol=1e-5, rtol=0)
    trainer.model.alpha.fill_(2.0), trainer.model.beta.fill_(30.0)
    trainer.model.adapter.weight.data = keys = torch.eye(12, 32)
    votes = (trainer.image_logits(keys) - trainer.logits(keys, trainer.w)) / 2
    torch.testing.assert_close(votes.detach(), torch.eye(3)[trainer.model.values], atol=1e-4, rtol=0)


def test_imagenet_has_seven_templates(tiny, tmp_path):
    trainer = tiny.trainer(tmp_path, "TipAdapter")
    trainer.cfg = trainer.cfg.clone()
    trainer.cfg.defrost()
    trainer.cfg.DATASET.NAME = "ImageNet"
    each = torch.stack([trainer.frozen_text([t.format(n) for n in trainer.classnames]) for t in SELECTED])
    found = frozen_features.classifier(trainer, trainer.classnames)
    torch.testing.assert_close(found, normalize(each.mean(0)), atol=1e-6, rtol=0)


# ---------------------------------------------------------------------- alpha and beta


def test_grid_and_first_best():
    assert len(betas := grid(12.0, 200)) == 200 and len(grid(10.0, 20)) == 20
    assert betas[0] == 0.1 and betas[1] == pytest.approx(0.1 + 11.9 / 200) and betas[-1] < 12
    generator = torch.Generator().manual_seed(1)
    z, near = torch.randn(30, 3, generator=generator), torch.rand(30, 6, generator=generator)
    labels, y = torch.eye(3)[[0, 0, 1, 1, 2, 2]], torch.randint(3, (30,), generator=generator)
    best = (0.0, 0.0, -1.0)
    for beta in grid(12.0, 200):
        for alpha in grid(10.0, 20):
            logits = z + alpha * (-beta * (1 - near)).exp() @ labels
            accuracy = 100 * (logits.argmax(1) == y).sum().item() / 30
            if accuracy > best[2]:
                best = (beta, alpha, accuracy)
    assert best_of_grid(z, near, labels, y, 12.0, 10.0) == pytest.approx(best)


def test_the_search_sees_no_test_label(tiny, tmp_path):
    found = []
    for shuffle in (False, True):
        trainer = tiny.trainer(tmp_path / str(shuffle), "TipAdapter", {"OPTIM.MAX_EPOCH": 1})
        if shuffle:
            for item in trainer.dm.dataset.test:
                item._label = (item.label + 1) % 3
        trainer.train()
        found.append((trainer.model.alpha.item(), trainer.model.beta.item()))
        assert trainer.record["search"]["count"] == 6  # 2 validation images a class
    assert found[0] == found[1] != (1.17, 1.0)


def test_where_validation_is_test_spare_training_images_are_taken(tiny, tmp_path, monkeypatch, caplog):
    trainer = tiny.trainer(tmp_path, "TipAdapter", {"OPTIM.MAX_EPOCH": 1})
    dataset = trainer.dm.dataset
    monkeypatch.setattr(dataset, "_val", dataset.test)
    chosen = frozen_features._items(trainer, "val_fewshot")
    paths = {item.impath for item in chosen}
    assert len(paths) == 6 and not paths & {x.impath for x in [*dataset.train_x, *dataset.test]}
    assert sorted(item.label for item in chosen) == [0, 0, 1, 1, 2, 2]  # 4 of 6 images of a class are trained on
    assert frozen_features._items(trainer, "val_full") == list(dataset.test) and "TEST images" in caplog.text
    monkeypatch.setattr(type(dataset), "train_pool", property(lambda self: list(self.train_x)))
    with pytest.raises(InputError, match="TRAINER.TIPADAPTER.SEARCH is val_fewshot.*choose none"):
        trainer.train()


def test_published_values_of_a_dataset_come_with_the_published_search(tiny, tmp_path):
    import train

    def of(name: str, search: str, method: str = "TipAdapterF"):
        words = ["--trainer", method, "DATASET.NAME", name, N + "SEARCH", search]
        return train.setup_cfg(train.build_parser().parse_args(words))

    node = of("OxfordFlowers", "val_full").TRAINER.TIPADAPTER
    assert (node.BETA, node.ALPHA, node.BETA_RANGE, node.ALPHA_RANGE) == (1.0, 10.0, 50.0, 50.0)
    node = of("OxfordFlowers", "val_fewshot").TRAINER.TIPADAPTER
    assert (node.BETA, node.ALPHA, node.BETA_RANGE, node.ALPHA_RANGE) == (1.0, 1.17, 12.0, 10.0)
    assert of("EuroSAT", "none").OPTIM.MAX_EPOCH == 100 and of("EuroSAT", "none", "TipAdapter").OPTIM.MAX_EPOCH != 100


# ---------------------------------------------------------------------- runs


def test_new_classes_are_zero_shot(tiny, tmp_path):
    assert tiny.run(tmp_path / "run", "TipAdapter", pairs={"OPTIM.MAX_EPOCH": 1}) == 0
    for part, rows in (("new", [-1, -1]), ("all", [0, 1, 2, -1, -1])):
        trainer = tiny.trainer(tmp_path / part, "TipAdapter", {"DATASET.SUBSAMPLE_CLASSES": part})
        trainer.load_model(str(tmp_path / "run"), 1)
        trainer.set_model_mode("eval")
        assert trainer.model.adapter.weight.shape[0] == 12 and trainer.model.rows(trainer.classnames) == rows
        f = trainer.frozen_image(images())
        votes = trainer.image_logits(f) - trainer.logits(f, trainer.w)
        assert [bool(column.any()) for column in votes.T] == [row >= 0 for row in rows]
    flags = ("--eval-only", "--model-dir", tmp_path / "run", "--load-epoch", 1)
    assert tiny.run(tmp_path / "test", "TipAdapter", flags, {"DATASET.SUBSAMPLE_CLASSES": "new"}) == 0
    zero = tiny.run(tmp_path / "zero", "ZeroshotCLIP", ("--eval-only",), {"DATASET.SUBSAMPLE_CLASSES": "new"})
    first, second = (tmp_path / part / "results.json" for part in ("test", "zero"))
    assert zero == 0 and json.loads(first.read_text())["results"] == json.loads(second.read_text())["results"]


def test_every_image_once_an_epoch_and_a_cosine_to_zero(tiny, tmp_path):
    trainer = tiny.trainer(tmp_path, "TipAdapterF", {"DATALOADER.TRAIN_X.BATCH_SIZE": 5, "OPTIM.ADAM_EPS": 1e-4})
    rates, sizes, step = [], [], trainer.forward_backward

    def noted(batch):
        rates.append(trainer.get_current_lr())
        sizes.append(len(batch["label"]))
        return step(batch)

    trainer.forward_backward = noted
    trainer.train()
    assert sizes == 3 * [5, 5, 2]
    assert rates == pytest.approx([0.005 * (1 + math.cos(math.pi * t / 9)) for t in range(9)])
    assert trainer.optim.defaults["eps"] == 1e-4 and trainer.get_current_lr() == pytest.approx(0)
    assert (trainer.model.adapter.weight.norm(dim=1) - 1).abs().max() > 1e-3  # keys are not normalised again


def test_an_epoch_may_be_chosen(tiny, tmp_path, monkeypatch):
    """The first best on the images that EPOCH names, also after an interruption; SEARCH starts from its keys."""
    trainer = tiny.trainer(tmp_path, "TipAdapterF", {N + "EPOCH": "search", "OPTIM.MAX_EPOCH": 4})
    keys, right, choose = [], iter([5, 6, 6, 4]), trainer.choose_epoch

    def logits(f):
        k = next(right)
        return torch.tensor([[1.0, 0, 0]] * k + [[0, 1.0, 0]] * (10 - k))

    def with_known_accuracies(which, key):
        keys.append(trainer.model.adapter.weight.detach().clone())
        with monkeypatch.context() as patch:
            patch.setattr(trainer, "choosing", lambda *_: (torch.zeros(10, 32), torch.zeros(10, dtype=torch.long)))
            patch.setattr(trainer, "image_logits", logits)
            choose(which, key)
        assert which == "val_fewshot"

    monkeypatch.setattr(trainer, "choose_epoch", with_known_accuracies)
    trainer.train()
    assert torch.equal(trainer.model.adapter.weight, keys[1]) and not torch.equal(keys[1], keys[3])
    best = trainer.extra_state()["best"]
    assert best["accuracy"] == pytest.approx(60) and best["epoch"] == 2
    assert torch.equal(best["values"]["adapter.weight"], keys[1])


@pytest.mark.parametrize(
    "method, said", [("TipAdapterF", "TIPADAPTER.SEARCH .*choose none"), ("LPpp", "LPPP.SELECT .*choose last")]
)
def test_without_images_to_choose_on_nothing_is_trained(tiny, tmp_path, method, said):
    """All training images are trained on, and there is no validation part."""
    trainer = tiny.trainer(tmp_path, method, {"DATASET.NUM_SHOTS": -1, "OPTIM.MAX_EPOCH": 2})
    trainer.dm.dataset._val = None
    with pytest.raises(InputError, match=said):
        trainer.train()
    assert not list(tmp_path.glob("*/model.pth.tar-*"))


@pytest.mark.parametrize(
    "pairs, said",
    [
        ({N + "EPOCH": "search", N + "SEARCH": "none"}, "choose last"),
        ({"MODEL.INIT_WEIGHTS": "x"}, "leave MODEL.INIT_WEIGHTS out"),
    ],
)
def test_what_cannot_be_is_one_sentence(tiny, tmp_path, pairs, said):
    with pytest.raises(InputError, match=said):
        tiny.trainer(tmp_path, "TipAdapterF", pairs)
