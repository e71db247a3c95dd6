"""SplitDataset: reading, few-shot samples and their cache, halves, errors."""

from __future__ import annotations

import json
import logging
import os
import random
import shutil

import pytest

from dassl.utils import InputError


def paths(items):
    return [item.impath for item in items]


def cache_file(root, shots, seed):
    return root / "toy" / "split_fewshot" / f"shot_{shots}-seed_{seed}.json"


def test_all_items_without_shots(toy, root, make_cfg):
    data = toy(make_cfg(root))
    assert [len(x) for x in (data.train_x, data.val, data.test)] == [26, 18, 20]
    assert data.classnames == ["face", "leopard", "accordion", "sea_horse", "yin yang"]
    assert data.dataset_dir == str(root / "toy")
    assert not (root / "toy" / "split_fewshot").exists()


def test_a_home_folder_may_be_meant(toy, root, make_cfg, monkeypatch):
    monkeypatch.setenv("HOME", str(root))
    assert toy(make_cfg("~")).dataset_dir == str(root / "toy")


def test_draws_equal_upstreams_after_seeding_and_leave_the_stream_alone(toy, root, make_cfg):
    full = toy(make_cfg(root))
    random.seed(7)
    before = random.getstate()
    data = toy(make_cfg(root, shots=2, seed=5))
    assert random.getstate() == before
    # upstream: seed once, then sample train with K, then val with min(K, 4), class by class
    random.seed(5)
    expected = [[], []]
    for drawn, items in zip(expected, (full.train_x, full.val), strict=True):
        for label in range(5):
            group = [x.impath for x in items if x.label == label]
            drawn += random.sample(group, 2) if len(group) >= 2 else group
    assert [paths(data.train_x), paths(data.val)] == expected
    assert len(data.test) == 20


def test_val_gets_at_most_four_shots(toy, root, make_cfg):
    data = toy(make_cfg(root, shots=6))
    assert [sum(x.label == label for x in data.val) for label in range(5)] == [4, 2, 1, 4, 4]


def test_the_cache_is_read_back_and_moves_with_the_data(toy, root, make_cfg, tmp_path_factory, caplog):
    caplog.set_level(logging.INFO, logger="datasets")
    first = toy(make_cfg(root, shots=2))
    kept = json.loads(cache_file(root, 2, 1).read_text())
    assert kept["train"][0].startswith("c0/train_") and len(kept["val"]) == len(first.val)
    kept["train"] = kept["train"][::-1]  # proof that the file is used
    cache_file(root, 2, 1).write_text(json.dumps(kept))
    moved = tmp_path_factory.mktemp("moved")
    shutil.move(root / "toy", moved / "toy")
    again = toy(make_cfg(moved, shots=2))
    assert "Loading the 2-shot sample" in caplog.text
    assert [p.replace(str(moved), str(root)) for p in paths(again.train_x)] == paths(first.train_x)[::-1]


@pytest.mark.parametrize(
    "damage", ["changed split", "half a file", "foreign path", "wrong form", "deep", "an image short", "an image twice"]
)
def test_a_stale_cache_is_discarded(toy, root, make_cfg, damage):
    first = paths(toy(make_cfg(root, shots=2)).train_x)
    file, split_file = cache_file(root, 2, 1), root / "toy" / "split_zhou_Toy.json"
    if damage == "changed split":
        split = json.loads(split_file.read_text())
        split["train"] = split["train"][::-1]
        split_file.write_text(json.dumps(split))
    elif damage == "half a file":
        file.write_text(file.read_text()[:50])
    elif damage == "foreign path":
        file.write_text(file.read_text().replace("c0/train_", "gone/train_"))
    elif damage in ("an image short", "an image twice"):
        kept = json.loads(file.read_text())
        kept["train"] = kept["train"][1:] + kept["train"][1:2] * (damage == "an image twice")
        file.write_text(json.dumps(kept))
    elif damage == "deep":
        file.write_text("[" * 100_000)
    else:
        file.write_text("[]")
    again = paths(toy(make_cfg(root, shots=2)).train_x)
    kept = json.loads(file.read_text())
    assert [os.path.join(root, "toy", "images", p) for p in kept["train"]] == again
    assert (again == first) == (damage != "changed split")


def test_an_unseeded_run_keeps_no_sample(toy, root, make_cfg):
    toy(make_cfg(root, shots=2, seed=-1))
    assert not (root / "toy" / "split_fewshot").exists()


def test_a_folder_that_cannot_be_written_just_has_no_cache(toy, root, make_cfg):
    (root / "toy" / "split_fewshot").write_text("a file where the folder should be")
    assert len(toy(make_cfg(root, shots=1)).train_x) == 5


def test_small_classes_are_used_whole_with_one_warning(toy, root, make_cfg, caplog):
    data = toy(make_cfg(root, shots=6))
    assert [sum(x.label == label for x in data.train_x) for label in range(5)] == [6, 5, 3, 6, 6]
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert len(warnings) == 1 and "2 of 5 classes" in warnings[0] and "'accordion' holds 3" in warnings[0]


def test_halves_share_one_draw(toy, root, make_cfg):
    whole, base, new = (toy(make_cfg(root, shots=2, half=half)) for half in ("all", "base", "new"))
    assert base.classnames == ["face", "leopard", "accordion"] and new.classnames == ["sea_horse", "yin yang"]
    assert paths(base.train_x) + paths(new.train_x) == paths(whole.train_x)
    assert {x.label for x in new.test} == {0, 1} and len(new.test) == 8


def test_test_only_sets_ignore_shots_and_halves(toy, root, make_cfg):
    class Shifted(toy):
        test_only = True

    data = Shifted(make_cfg(root, shots=1, half="new"))
    assert data.train_x is data.test and len(data.test) == 20 and not data.val
    assert data.num_classes == 5


def test_ensure_may_make_the_folder(toy, root, make_cfg):
    class Made(toy):
        @classmethod
        def ensure(cls, dataset_dir):
            shutil.copytree(root / "toy", dataset_dir)

    assert Made(make_cfg(root / "elsewhere")).dataset_dir == str(root / "elsewhere" / "toy")


def test_a_missing_folder_says_where_it_is_expected(toy, root, make_cfg):
    with pytest.raises(InputError, match=r"Toy is expected in /nowhere/toy, which does not exist; put the dataset"):
        toy(make_cfg("/nowhere"))
    shutil.rmtree(root / "toy" / "images")
    with pytest.raises(InputError, match="image folder .*toy/images does not exist"):
        toy(make_cfg(root))


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (
            lambda s: s.update(train=[x for x in s["train"] if x[1] != 3]),
            r"'sea_horse' \(label 3\) has no training image",
        ),
        (lambda s: [x.__setitem__(1, 9) for p in s.values() for x in p if x[1] == 4], r"without a name \(label 4\)"),
        (lambda s: s["test"][0].__setitem__(2, "visage"), "label 0 is called 'face' and 'visage'"),
        (lambda s: s.pop("test"), "there are no test images"),
        (lambda s: s.update(train=[]), "there are no training images"),
    ],
)
def test_a_class_without_images_is_named(toy, root, make_cfg, edit, sentence):
    file = root / "toy" / "split_zhou_Toy.json"
    split = json.loads(file.read_text())
    edit(split)
    file.write_text(json.dumps(split))
    with pytest.raises(InputError, match=sentence):
        toy(make_cfg(root))


def test_sizes_that_differ_are_warned_of(toy, root, make_cfg, caplog):
    toy.sizes = (5, 26, 18, 21)
    try:
        toy(make_cfg(root))
    finally:
        toy.sizes = None
    assert "26/18/20 train/val/test images here, but 5 classes and 26/18/21 as published" in caplog.text


def test_without_a_split_file_one_is_generated_and_marked(toy, root, make_cfg, caplog):
    (root / "toy" / "split_zhou_Toy.json").unlink()
    (root / "toy" / "images" / "c0").rename(root / "toy" / "images" / "Faces")
    (root / "toy" / "images" / "junk").mkdir()
    first = toy(make_cfg(root, seed=1))
    assert "GENERATED" in caplog.text and "NOT comparable" in caplog.text
    assert first.classnames == ["face", "c1", "c2", "c3", "c4"]
    file = root / "toy" / "split_zhou_Toy.json"
    text = file.read_text()
    file.unlink()
    toy(make_cfg(root, seed=2))
    assert file.read_text() == text, "a generated split does not depend on the run's seed"
    caplog.clear()
    second = toy(make_cfg(root, seed=2))
    assert paths(second.train_x) == paths(first.train_x)
    assert "NOT comparable" in caplog.text, "and every later run is told"
