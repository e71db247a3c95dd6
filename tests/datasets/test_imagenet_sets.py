"""ImageNet with its kept listing, and the four test sets made for it."""

from __future__ import annotations

import json
import os
import random
import shutil
import time

import layouts
import pytest

from dassl.data.datasets import DATASET_REGISTRY
from dassl.utils import InputError
from datasets.imagenet import ImageNet
from datasets.reading import listing


@pytest.fixture
def root(tmp_path):
    layouts.imagenet(tmp_path)
    age(tmp_path)
    return tmp_path


def age(root, seconds=100):
    """Folders as if unpacked some time ago."""
    for folder, _, _ in os.walk(root):
        os.utime(folder, (0, 1_700_000_000 + seconds))


def short(items):
    return ["/".join(x.impath.split("/")[-2:]) for x in items]


def test_imagenet(root, make_cfg):
    data = ImageNet(make_cfg(root))
    assert data.classnames == ["tench", "goldfish", "great white shark"]
    assert len(data.train_x) == 18 and len(data.test) == 6
    assert data.val is data.test, "the official validation images"
    assert short(data.test) == [f"{s}/00{i}.JPEG" for s in layouts.SYNSETS for i in (0, 1)], "sorted"


def test_shots_and_halves_leave_test_whole_and_draw_for_train_only(root, make_cfg):
    full = ImageNet(make_cfg(root))
    data = ImageNet(make_cfg(root, shots=2, seed=4))
    random.seed(4)
    groups = [[x.impath for x in full.train_x if x.label == label] for label in range(3)]
    assert [x.impath for x in data.train_x] == [path for group in groups for path in random.sample(group, 2)]
    assert len(data.val) == 6
    base, new = (ImageNet(make_cfg(root, shots=2, seed=4, half=half)) for half in ("base", "new"))
    assert base.classnames == ["tench", "goldfish"] and new.classnames == ["great white shark"]
    assert [x.impath for x in (*base.train_x, *new.train_x)] == [x.impath for x in data.train_x]
    assert len(new.test) == len(new.val) == 2 and {x.label for x in new.test} == {0}


def test_the_listing_is_kept_and_used(root, make_cfg, monkeypatch):
    first = ImageNet(make_cfg(root))
    file = root / "imagenet" / "listing_train.json"
    assert json.loads(file.read_text())["folders"][layouts.SYNSETS[0]][1] == [f"00{i}.JPEG" for i in range(6)]
    monkeypatch.setattr(listing.os, "scandir", lambda path: pytest.fail(f"{path} is listed again"))
    assert [x.impath for x in ImageNet(make_cfg(root)).train_x] == [x.impath for x in first.train_x]


@pytest.mark.parametrize("damage", ["image added", "class removed", "half a file", "wrong form", "moved"])
def test_a_stale_listing_is_noticed(root, make_cfg, damage):
    ImageNet(make_cfg(root))
    file = root / "imagenet" / "listing_train.json"
    expected = 18
    if damage == "image added":
        layouts.touch(root / "imagenet/images/train" / layouts.SYNSETS[1] / "new.JPEG")
        expected = 19
    elif damage == "class removed":
        for part in ("train", "val"):
            shutil.rmtree(root / "imagenet/images" / part / layouts.SYNSETS[1])
        expected = 12
    elif damage == "moved":  # names are kept, not paths
        shutil.move(root / "imagenet", root / "elsewhere" / "imagenet")
        root = root / "elsewhere"
    else:
        file.write_text(file.read_text()[:40] if damage == "half a file" else '{"folders": {"a": 3}}')
    data = ImageNet(make_cfg(root))
    assert len(data.train_x) == expected
    assert all(os.path.isfile(x.impath) for x in data.train_x)


def test_a_folder_that_still_changes_is_listed_each_time(root, make_cfg):
    folder = root / "imagenet/images/train" / layouts.SYNSETS[0]
    layouts.touch(folder / "late.JPEG")
    changed = folder.stat().st_mtime_ns
    assert len(ImageNet(make_cfg(root)).train_x) == 19
    layouts.touch(folder / "later.JPEG")
    os.utime(folder, ns=(changed, changed))  # a clock too coarse to show it
    assert len(ImageNet(make_cfg(root)).train_x) == 20


def test_an_archive_that_is_unpacked_again_sets_times_back_and_is_noticed(root, make_cfg):
    folder = root / "imagenet/images/train" / layouts.SYNSETS[0]
    ImageNet(make_cfg(root))
    changed = folder.stat().st_mtime_ns
    time.sleep(0.02)  # another tick of the file system's clock
    (folder / "000.JPEG").rename(folder / "other.JPEG")
    os.utime(folder, ns=(changed, changed))
    assert any(x.impath.endswith("other.JPEG") for x in ImageNet(make_cfg(root)).train_x)


def test_a_folder_that_cannot_be_written_has_no_listing(root, make_cfg):
    (root / "imagenet/listing_train.json").mkdir()
    assert len(ImageNet(make_cfg(root)).train_x) == 18


def _flat(root):
    val = root / "imagenet/images/val"
    for file in list(val.glob("*/*")):
        file.rename(val / f"{file.parent.name}_{file.name}")
    for folder in layouts.SYNSETS:
        (val / folder).rmdir()


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (lambda r: (r / "imagenet/classnames.txt").unlink(), r"imagenet/classnames\.txt does not exist.*DATASETS\.md"),
        (lambda r: shutil.rmtree(r / "imagenet/images/train"), r"images/train does not exist.*image-net\.org"),
        (lambda r: shutil.rmtree(r / "imagenet/images/val"), r"images/val does not exist.*image-net\.org"),
        (_flat, r"images/val holds 6 files but no synset folders; move each image"),
        (lambda r: shutil.rmtree(r / "imagenet/images/val" / layouts.SYNSETS[1]), "different class folders .3 and 2"),
        (lambda r: layouts.classnames(r / "imagenet", {"n01440764": "tench"}), "train/n01443537 has no line in class"),
        (lambda r: layouts.write(r / "imagenet/classnames.txt", ["n01440764"]), "is not 'synset class name'"),
        (
            lambda r: [f.unlink() for f in (r / "imagenet/images/train/n01484850").iterdir()],
            "n01484850 holds no images",
        ),
    ],
)
def test_what_is_wrong_is_one_sentence(root, make_cfg, edit, sentence):
    edit(root)
    with pytest.raises(InputError, match=sentence) as error:
        ImageNet(make_cfg(root))
    assert "\n" not in str(error.value)


VARIANTS = {
    "imagenetv2": ("ImageNetV2", [f"name {i}" for i in range(12)], 24),
    "imagenet_sketch": ("ImageNetSketch", list(layouts.CLASSNAMES.values()), 6),
    "imagenet_a": ("ImageNetA", ["tench", "great white shark"], 4),
    "imagenet_r": ("ImageNetR", ["tench", "great white shark"], 4),
}


@pytest.mark.parametrize("layout", VARIANTS)
def test_variants_are_for_testing_only(layout, tmp_path, make_cfg):
    name, names, count = VARIANTS[layout]
    getattr(layouts, layout)(tmp_path)
    cls = DATASET_REGISTRY.get(name)
    data = cls(make_cfg(tmp_path, shots=1, half="new"))
    assert data.classnames == names and data.num_classes == len(names)
    assert len(data.test) == count and data.train_x is data.test and not data.val
    assert all(x.classname == names[x.label] for x in data.test)
    if layout == "imagenetv2":  # folders by number, not by the alphabet
        assert [x.label for x in data.test] == [label for label in range(12) for _ in range(2)]
        assert "/2/" in next(x.impath for x in data.test if x.label == 2)
    for path, source in cls.needs.items():
        (tmp_path / cls.dataset_dir / path).rename(tmp_path / "away")
        with pytest.raises(InputError, match="does not exist") as error:
            cls(make_cfg(tmp_path))
        assert path in str(error.value) and source in str(error.value)
        (tmp_path / "away").rename(tmp_path / cls.dataset_dir / path)


def test_a_wrong_folder_of_imagenetv2_is_named(tmp_path, make_cfg):
    layouts.imagenetv2(tmp_path)
    layouts.touch(tmp_path / "imagenetv2/imagenetv2-matched-frequency-format-val/77/a.jpg")
    with pytest.raises(InputError, match="format-val/77 is not one of the folders 0 to 11"):
        DATASET_REGISTRY.get("ImageNetV2")(make_cfg(tmp_path))
