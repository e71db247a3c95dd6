"""What lists of images may say: each odd list is one sentence, or a warning where it is harmless, in every reader."""

from __future__ import annotations

import json
import os
import re
import tracemalloc

import layouts
import pytest
from yacs.config import CfgNode

from dassl.data.datasets import DATASET_REGISTRY
from dassl.utils import InputError
from datasets.folder import Folder
from datasets.reading.lists import whole_number


@pytest.fixture
def folder(tmp_path):
    layouts.class_folders(tmp_path / "set", ["a", "b"], 10, ".png")
    return tmp_path / "set"


def load(folder, make_cfg, split=None, **settings):
    cfg = make_cfg(folder.parent)
    if split is not None:
        text = split if isinstance(split, str) else json.dumps(split)
        (folder / "mine.json").write_text(text)
        settings["SPLIT_FILE"] = "mine.json"
    cfg.DATASET.FOLDER = CfgNode({"PATH": "set", **settings})
    return Folder(cfg)


def good():
    return {
        "train": [["a/000.png", 0, "a"], ["b/000.png", 1, "b"]],
        "test": [["a/001.png", 0, "a"], ["b/001.png", 1, "b"]],
    }


def edited(record=None, **parts):
    """A good split with other parts, or with `record` (position -> value) in all records of class b."""
    split = good() | parts
    for position, value in (record or {}).items():
        for row in (*split["train"], *split["test"]):
            if row[0].startswith("b"):
                row[position] = value
    return split


def longer(part, *records):
    split = good()
    return split | {part: [*split[part], *records]}


REFUSED = {
    "train is a number": (edited(train=3), "'train' is 3, but must be a list"),
    "train is an object": (edited(train={"a": 1}), "must be a list"),
    "train is a text": (edited(train="abc"), "must be a list"),
    "train is null": (edited(train=None), "no training images"),
    "test is empty": (edited(test=[]), "no test images"),
    "a list": ("[]", "no JSON object"),
    "null": ("null", "no JSON object"),
    "cut off": ('{"train": [', "cannot be used"),
    "deep": ("[" * 100_000, "nested too deeply"),
    "deep object": ('{"train":' * 100_000, "nested too deeply"),
    "a part twice": ('{"train": [], "test": [], "train": []}', "'train' stands there twice"),
    "half a label": (edited({1: 0.5}), "the label is 0.5"),
    "true as label": (edited({1: True}), "the label is True"),
    "no label": (edited({1: None}), "the label is None"),
    "NaN as label": (edited({1: float("nan")}), "the label is nan"),
    "infinite label": (edited({1: float("inf")}), "the label is inf"),
    "a text as label": (edited({1: "one"}), "the label is 'one'"),
    "a negative label": (edited({1: -1}), "label -1"),
    "a gap": (edited({1: 2}), r"\(label 1\) has no training image"),
    "a date as label": (edited({1: 20240101}), "here up to 20240101"),
    "an ID as label": (edited({1: 10**7}), "must run from 0 without gaps"),
    "a name that is null": (edited({2: None}), "the class name is None"),
    "an empty name": (edited({2: ""}), "the class name is ''"),
    "a name of spaces": (edited({2: "_ "}), "the class name is '_ '"),
    "a number as name": (edited({2: 7}), "the class name is 7"),
    "half a character in a name": (edited({2: "b\ud800"}), r"name b\\ud800 is not UTF-8"),
    "two names": (longer("test", ["a/002.png", 0, "z"]), "label 0 is called 'a' and 'z'"),
    "two labels": (longer("train", ["a/000.png", 1, "b"]), "under two labels, 0 and 1"),
    "two labels by a detour": (longer("train", ["a/../a/./000.png", 1, "b"]), "under two labels"),
    "a leak": (longer("test", ["a/000.png", 0, "a"]), "both train and test"),
    "a leak by a detour": (longer("test", ["./a//000.png", 0, "a"]), "both train and test"),
    "an absolute path": (longer("train", ["/etc/hostname", 0, "a"]), "must lead from the folder"),
    "a path upwards": (longer("train", ["../set/a/002.png", 0, "a"]), "must lead from the folder"),
    "a hidden path upwards": (longer("train", ["a/../../set/a/002.png", 0, "a"]), "must lead from the folder"),
    "no path": (longer("train", [None, 0, "a"]), "the path is None"),
    "an empty path": (longer("train", ["", 0, "a"]), "the path is ''"),
    "the folder itself": (longer("train", [".", 0, "a"]), "must lead from the folder"),
    "a folder": (longer("train", ["a", 0, "a"]), "does not exist"),
    "a zero byte": (longer("train", ["a\0", 0, "a"]), "the path is"),
    "a path that is not UTF-8": (longer("train", ["a/\udcff.png", 0, "a"]), r"name a/\\xff.png is not UTF-8"),
    "a text as record": (longer("train", "abc"), "these three parts"),
    "an object as record": (longer("train", {"a": 1, "b": 2, "c": 3}), "these three parts"),
    "two parts": (longer("train", ["a/000.png", 0]), "these three parts"),
    "four parts": (longer("train", ["a/000.png", 0, "a", 1]), "these three parts"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_odd_split_file_is_one_sentence(name, folder, make_cfg):
    split, words = REFUSED[name]
    with pytest.raises(InputError, match=words) as error:
        load(folder, make_cfg, split)
    assert "mine.json" in str(error.value) and "\n" not in str(error.value)


def linked_folder(folder):
    (folder / "again").symlink_to(folder / "a")
    return "again/000.png"


def symlink(folder):
    (folder / "b" / "link.png").symlink_to("../a/000.png")
    return "b/link.png"


def hard_link(folder):
    os.link(folder / "a" / "000.png", folder / "b" / "link.png")
    return "b/link.png"


@pytest.mark.parametrize("link", [linked_folder, symlink, hard_link])
def test_links_to_one_file_are_one_image(link, folder, make_cfg, caplog):
    path = link(folder)
    with pytest.raises(InputError, match=f"{path} .the same file as .*a/000.png. is in both train and test"):
        load(folder, make_cfg, longer("test", [path, 0, "a"]))
    with pytest.raises(InputError, match=f"{path} .the same file as .*a/000.png. is listed under two labels"):
        load(folder, make_cfg, longer("train", [path, 1, "b"]))
    load(folder, make_cfg, longer("train", [path, 0, "a"]))
    assert "lists 1 images more than once" in caplog.text


def test_a_link_between_the_folders_train_and_test(folder, make_cfg):
    for part, number in (("train", 0), ("test", 1)):
        for name in "ab":
            os.renames(folder / name / f"00{number}.png", folder / part / name / "0.png")
    load(folder, make_cfg)
    (folder / "test" / "a" / "1.png").symlink_to("../../train/a/0.png")
    with pytest.raises(InputError, match="test/a/1.png .the same file as .*train/a/0.png. is in both train and test"):
        load(folder, make_cfg)


HARMLESS = {
    "as it should be": (good(), ""),
    "val is null": (edited(val=None), ""),
    "a byte order mark": ("\ufeff" + json.dumps(good()), ""),
    "whole floats and digits": (edited({1: 1.0}), ""),
    "digits as text": (edited({1: "1"}), ""),
    "an image twice": (longer("train", ["a/000.png", 0, "a"]), "lists 1 images more than once"),
    "val is test": (edited(val=good()["test"]), "2 images more than once, such as .*in val and in test"),
    "a part of another name": (edited(Val=[]), "'Val' is none of train, val, test"),
    "one name for two classes": (edited({2: "_A"}), "'a' by labels 0, 1"),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_harmless_loads_with_a_warning(name, folder, make_cfg, caplog):
    split, words = HARMLESS[name]
    data = load(folder, make_cfg, split)
    assert data.num_classes == 2 and [item.label for item in data.test] == [0, 1]
    lines = [line for line in caplog.messages if "Warning" in line]
    assert len(lines) == bool(words) and re.search(words, " ".join(lines))


def test_nothing_is_allocated_by_the_size_of_a_label(folder, make_cfg):
    tracemalloc.start()
    with pytest.raises(InputError, match="without gaps"):
        load(folder, make_cfg, edited({1: 10**6}))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20, "a set of a million labels takes 32 MiB"


def test_whole_numbers():
    assert [whole_number(x) for x in (3, 3.0, "3", " 3", "-3")] == [3, 3, 3, 3, -3]
    odd = (True, 0.5, float("nan"), float("inf"), None, "", "x", "--3", "3.0", "²", "9" * 5000, [], {})
    assert [whole_number(x) for x in odd] == [None] * len(odd)


# ---------------------------------------------------------------- lists of the published sets


def lines_of(path):
    return path.read_text().splitlines()


def doubled(path, first=0):
    """The line once more, further down."""
    lines = lines_of(path)
    layouts.write(path, [*lines, lines[first]])


def changed(path, old, new):
    path.write_text(path.read_text().replace(old, new))


PUBLISHED = {
    "FGVCAircraft, a variant twice": (
        "fgvc_aircraft",
        lambda r: doubled(r / "fgvc_aircraft/variants.txt"),
        r"variants\.txt has the line '707-320' twice",
    ),
    "FGVCAircraft, an image in train and test": (
        "fgvc_aircraft",
        lambda r: doubled_into(r / "fgvc_aircraft", "images_variant_train.txt", "images_variant_test.txt"),
        "both train and test",
    ),
    "FGVCAircraft, an image of two variants": (
        "fgvc_aircraft",
        lambda r: layouts.write(
            r / "fgvc_aircraft/images_variant_val.txt",
            [*lines_of(r / "fgvc_aircraft/images_variant_val.txt"), "0001002 707-320"],
        ),
        "under two labels",
    ),
    "SUN397, a scene twice": (
        "sun397",
        lambda r: doubled(r / "sun397/ClassName.txt"),
        r"ClassName\.txt has the line 'a/abbey' twice",
    ),
    "UCF101, an action with two numbers": (
        "ucf101",
        lambda r: layouts.write(
            r / "ucf101/ucfTrainTestlist/classInd.txt",
            [*lines_of(r / "ucf101/ucfTrainTestlist/classInd.txt"), "4 YoYo"],
        ),
        "two lines for 'YoYo'",
    ),
    "UCF101, a number for two actions": (
        "ucf101",
        lambda r: changed(r / "ucf101/ucfTrainTestlist/classInd.txt", "2 YoYo", "1 YoYo"),
        "label 0 is called",
    ),
    "UCF101, an odd digit": (
        "ucf101",
        lambda r: changed(r / "ucf101/ucfTrainTestlist/classInd.txt", "2 YoYo", "² YoYo"),
        "is not 'number action'",
    ),
    "OxfordPets, an odd digit": (
        "oxford_pets",
        lambda r: changed(r / "oxford_pets/annotations/test.txt", " 2 ", " ² "),
        "is not 'name class species breed'",
    ),
    "OxfordFlowers, a name that is null": (
        "oxford_flowers",
        lambda r: changed(r / "oxford_flowers/cat_to_name.json", '"pink primrose"', "null"),
        "the class name is None",
    ),
    "OxfordFlowers, a class twice": (
        "oxford_flowers",
        lambda r: changed(r / "oxford_flowers/cat_to_name.json", '"2":', '"1":'),
        "'1' stands there twice",
    ),
    "ImageNet, a synset of two names": (
        "imagenet",
        lambda r: layouts.write(
            r / "imagenet/classnames.txt", [*lines_of(r / "imagenet/classnames.txt"), "n01440764 carp"]
        ),
        "two lines for 'n01440764', 'tench' and 'carp'",
    ),
    "ImageNetV2, lines in another order": (
        "imagenetv2",
        lambda r: layouts.write(r / "imagenetv2/classnames.txt", lines_of(r / "imagenetv2/classnames.txt")[::-1]),
        "in the order of synsets",
    ),
    "ImageNetV2, a line too many": (
        "imagenetv2",
        lambda r: layouts.write(
            r / "imagenetv2/classnames.txt", ["n00000000 more", *lines_of(r / "imagenetv2/classnames.txt")[1:], "z z"]
        ),
        "for each of the 12 folders",
    ),
    "WebVision, a label that is none": (
        "webvision",
        lambda r: changed(r / "webvision/info/train_filelist_google.txt", "0_0.jpg 0", "0_0.jpg ²"),
        "is not 'image label'",
    ),
}
NAMES = {
    "fgvc_aircraft": "FGVCAircraft",
    "sun397": "SUN397",
    "ucf101": "UCF101",
    "oxford_pets": "OxfordPets",
    "oxford_flowers": "OxfordFlowers",
    "imagenet": "ImageNet",
    "imagenetv2": "ImageNetV2",
    "webvision": "WebVisionMini",
}


def doubled_into(folder, source, target):
    layouts.write(folder / target, [*lines_of(folder / target), lines_of(folder / source)[0]])


@pytest.mark.parametrize("name", PUBLISHED)
def test_lines_that_are_doubled_or_odd_are_one_sentence(name, tmp_path, make_cfg):
    layout, edit, words = PUBLISHED[name]
    getattr(layouts, layout)(tmp_path)
    loader = DATASET_REGISTRY.get(NAMES[layout])
    edit(tmp_path)
    with pytest.raises(InputError, match=words) as error:
        loader(make_cfg(tmp_path))
    assert "\n" not in str(error.value)
    assert not list(tmp_path.rglob("split_zhou_*.json")), "no split is kept of a list that was refused"


@pytest.mark.parametrize("number", [0, 5, -1, 1.5])
def test_a_class_number_that_the_cars_do_not_have(number, tmp_path, make_cfg):
    import numpy as np
    from scipy.io import loadmat, savemat

    layouts.stanford_cars(tmp_path)
    file = tmp_path / "stanford_cars/devkit/cars_train_annos.mat"
    array = loadmat(file)["annotations"].copy()
    array[0, 0]["class"] = np.array([[number]])
    savemat(file, {"annotations": array})
    with pytest.raises(InputError, match="class"):
        DATASET_REGISTRY.get("StanfordCars")(make_cfg(tmp_path))


def test_a_line_that_stands_there_twice_with_one_name_is_harmless(tmp_path, make_cfg):
    layouts.imagenet(tmp_path)
    doubled(tmp_path / "imagenet/classnames.txt")
    assert DATASET_REGISTRY.get("ImageNet")(make_cfg(tmp_path)).num_classes == 3


# ---------------------------------------------------------------- names that cannot be written down


def test_names_that_are_not_utf8_are_refused_before_anything_is_kept(folder, make_cfg):
    for odd in (b"a/im\xff0.png", b"c\xe9zero/1.png"):
        path = os.path.join(os.fsencode(folder), odd)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb"):
            pass
        with pytest.raises(InputError, match=r"\\xff0|c\\xe9zero") as error:
            load(folder, make_cfg)
        str(error.value).encode()
        assert not list(folder.glob("*.json"))
        os.unlink(path)


def test_published_folders_of_such_names(tmp_path, make_cfg):
    layouts.dtd(tmp_path)
    with open(os.fsencode(tmp_path / "dtd/images/banded") + b"/\xff.jpg", "wb"):
        pass
    with pytest.raises(InputError, match=r"\\xff"):
        DATASET_REGISTRY.get("DescribableTextures")(make_cfg(tmp_path))
    layouts.imagenet_a(tmp_path)
    with open(os.fsencode(tmp_path / "imagenet-adversarial/imagenet-a/n01440764") + b"/\xff.jpg", "wb"):
        pass
    with pytest.raises(InputError, match=r"\\xff"):
        DATASET_REGISTRY.get("ImageNetA")(make_cfg(tmp_path))


def test_a_folder_that_may_not_be_read_is_one_sentence(folder, make_cfg, monkeypatch):
    from datasets import folder as module

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(module.os, "listdir", refuse)
    with pytest.raises(InputError, match=r"set/?.* cannot be read: Permission denied"):
        load(folder, make_cfg)
