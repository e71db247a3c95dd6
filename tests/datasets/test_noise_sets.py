"""Food-101N and mini-WebVision: noisy training images, clean test sets of their own choice."""

from __future__ import annotations

import shutil

import layouts
import pytest
import torch
from yacs.config import CfgNode

from dassl.evaluation import build_evaluator
from dassl.utils import InputError
from datasets.food101 import Food101
from datasets.food101n import Food101N
from datasets.webvision import WebVisionMini


def with_key(cfg, node, value):
    cfg.DATASET[node] = CfgNode({"TEST": value})
    return cfg


def test_food101n_is_tested_on_food101(tmp_path, make_cfg):
    layouts.food101n(tmp_path)
    data, clean = Food101N(make_cfg(tmp_path)), Food101(make_cfg(tmp_path))
    assert data.classnames == clean.classnames
    assert [x.impath for x in data.test] == [x.impath for x in clean.test] and not data.val
    assert [x.impath for x in data.train_x[:3]] == [
        str(tmp_path / f"food-101n/images/{name}/000.jpg") for name in ("waffles", "baby_back_ribs", "apple_pie")
    ]
    assert [x.label for x in data.train_x] == [2, 1, 0] * 3
    half = Food101N(make_cfg(tmp_path, shots=2, half="new"))
    assert len(half.train_x) == 2 and half.classnames == ["waffles"] and len(half.test) == 3


def test_food101s_official_test_set_may_be_chosen(tmp_path, make_cfg):
    layouts.food101n(tmp_path)
    data = Food101N(with_key(make_cfg(tmp_path), "FOOD101N", "official"))
    assert [(x.impath.split("images/")[1], x.label) for x in data.test] == [
        ("waffles/007.jpg", 2), ("apple_pie/001.jpg", 0), ("apple_pie/000.jpg", 0), ("baby_back_ribs/002.jpg", 1),
    ]  # fmt: skip
    assert not (tmp_path / "food-101" / "split_zhou_Food101.json").exists(), "no split is needed for it"
    with pytest.raises(InputError, match=r"FOOD101N\.TEST is 'clean', but must be \"coop\" or \"official\""):
        Food101N(with_key(make_cfg(tmp_path), "FOOD101N", "clean"))


def test_verification_marks_follow_the_image_list(tmp_path, make_cfg):
    layouts.food101n(tmp_path)
    marks = Food101N(make_cfg(tmp_path)).verified()
    assert marks == {"waffles/000.jpg": True, "apple_pie/002.jpg": False, "baby_back_ribs/001.jpg": True}


@pytest.mark.parametrize("name", ["food101n", "food-101N", "Food-101N_release"])
def test_the_folder_of_food101n_has_many_names(name, tmp_path, make_cfg):
    layouts.food101n(tmp_path)
    (tmp_path / "food-101n").rename(tmp_path / name)
    assert Food101N(make_cfg(tmp_path)).dataset_dir == str(tmp_path / name)


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (lambda r: shutil.rmtree(r / "food-101"), "Food101 is expected in .*food-101, which does not exist"),
        (lambda r: (r / "food-101n/meta/imagelist.tsv").unlink(), r"meta/imagelist\.tsv does not exist.*Food-101N"),
        (lambda r: layouts.write(r / "food-101n/meta/classes.txt", ["class_name", "pizza"]), "in only one of"),
        (lambda r: (r / "food-101n/images/waffles/001.jpg").unlink(), r"waffles/001\.jpg is listed in imagelist\.tsv"),
    ],
)
def test_what_food101n_lacks_is_named(tmp_path, make_cfg, edit, sentence):
    layouts.food101n(tmp_path)
    edit(tmp_path)
    with pytest.raises(InputError, match=sentence):
        Food101N(make_cfg(tmp_path))


def test_webvision_takes_the_first_fifty_classes(tmp_path, make_cfg):
    layouts.webvision(tmp_path)
    data = WebVisionMini(make_cfg(tmp_path))
    assert data.classnames == [f"name {label}" for label in range(50)]
    assert len(data.train_x) == 100 and len(data.test) == 50 and not data.val
    assert data.test[0].impath == str(tmp_path / "webvision/val_images_256/val000049.jpg") and data.test[0].label == 49
    (tmp_path / "webvision/val_images_256").rename(tmp_path / "webvision/val_images")
    assert WebVisionMini(make_cfg(tmp_path)).test[0].impath.endswith("val_images/val000049.jpg")


def test_the_other_test_set_is_ilsvrc12s(tmp_path, make_cfg):
    layouts.webvision(tmp_path)
    here = WebVisionMini(make_cfg(tmp_path, shots=1))
    there = WebVisionMini(with_key(make_cfg(tmp_path, shots=1), "WEBVISION", "ilsvrc12_val"))
    assert there.classnames == here.classnames and len(there.test) == 50
    assert there.test[7].impath == str(tmp_path / "imagenet/images/val/n00000007/000.JPEG")
    assert [x.impath for x in there.train_x] == [x.impath for x in here.train_x], "the same weights serve both"


@pytest.mark.parametrize(
    ("test", "edit", "sentence"),
    [
        ("webvision_val", lambda r: shutil.rmtree(r / "webvision/val_images_256"), "val_images_256 does not exist"),
        ("webvision_val", lambda r: (r / "imagenet/classnames.txt").unlink(), r"classnames\.txt does not exist"),
        (
            "webvision_val",
            lambda r: (r / "webvision/info/val_filelist.txt").write_text("a.jpg"),
            "is not 'image label'",
        ),
        ("ilsvrc12_val", lambda r: shutil.rmtree(r / "imagenet/images"), "ilsvrc12_val needs .*images/val"),
        (
            "ilsvrc12_val",
            lambda r: shutil.rmtree(r / "imagenet/images/val/n00000003"),
            "does not begin with the folders",
        ),
        ("imagenet", lambda r: None, r"WEBVISION\.TEST is 'imagenet'"),
    ],
)
def test_what_webvision_lacks_is_named(tmp_path, make_cfg, test, edit, sentence):
    layouts.webvision(tmp_path)
    edit(tmp_path)
    with pytest.raises(InputError, match=sentence):
        WebVisionMini(with_key(make_cfg(tmp_path), "WEBVISION", test))


def test_top_five_is_counted_beside_the_accuracy(caplog):
    import trainers.shared.top5  # noqa: F401  registers it

    test = {"EVALUATOR": "Top5", "PER_CLASS_RESULT": False, "COMPUTE_CMAT": False}
    evaluator = build_evaluator(CfgNode({"TEST": test, "VERBOSE": False}), lab2cname={})
    logits = torch.arange(8.0).repeat(8, 1)  # classes 3 to 7 are the five most likely, 7 the most
    evaluator.process(logits[:5], torch.arange(5))
    evaluator.process(logits[5:], torch.arange(5, 8))
    results = evaluator.evaluate()
    assert next(iter(results)) == "accuracy" and results["accuracy"] == 12.5
    assert results["top5_accuracy"] == evaluator.results["top5_accuracy"] == 62.5
    evaluator.reset()
    evaluator.process(torch.eye(3), torch.arange(3))
    assert evaluator.evaluate()["top5_accuracy"] == 100
