"""Split files, splitting, and base/new halves, against the published vectors."""

from __future__ import annotations

import json
import random

import pytest

from dassl.data.datasets import Datum
from dassl.utils import InputError
from datasets.base import read_and_split_data, read_split, save_split, split_trainval, subsample_classes


def numbers(items):
    return [item.domain for item in items]


def test_split_trainval_makes_upstreams_draws(items):
    random.seed(1)
    train, val = split_trainval(items)
    assert numbers(val) == [6, 8, 14, 18, 22, 24]
    assert numbers(train) == [9, 7, 5, 3, 0, 4, 1, 2, 12, 16, 15, 19, 10, 17, 11, 13, 20, 21, 29, 26, 28, 25, 23, 27]


def test_split_trainval_names_the_class_that_is_too_small(items):
    with pytest.raises(InputError, match="'class 1' has only 2 images"):
        split_trainval(items[:22])


def test_halves_are_relabelled(items):
    base, other = subsample_classes(items, items[:12], subsample="base")
    assert len(base) == 13 and len(other) == 2
    assert [item.label for item in base] == [0] * 10 + [1] * 3
    assert {item.classname for item in base} == {"class 0", "class 1"}
    (new,) = subsample_classes(items, subsample="new")
    assert [item.label for item in new] == [0] * 10 + [1] * 7
    assert {item.domain for item in new} == {0}
    assert [item.label for item in items[:2]] == [2, 2], "the items given are left as they are"


def test_the_base_half_is_the_larger_one(items):
    three = [item for item in items if item.label != 5]
    (base,), (new,) = (subsample_classes(three, subsample=half) for half in ("base", "new"))
    assert {item.classname for item in base} == {"class 0", "class 1"}
    assert {item.classname for item in new} == {"class 2"}


def test_all_gives_the_arguments_back(items):
    assert subsample_classes(items, subsample="all") == (items,)
    with pytest.raises(InputError, match='"all", "base" or "new"'):
        subsample_classes(items, subsample="bas")


def test_a_split_file_survives_the_round_trip(root, tmp_path):
    file, images = root / "toy" / "split_zhou_Toy.json", str(root / "toy" / "images")
    parts = read_split(str(file), images)
    save_split(*parts, str(tmp_path / "again.json"), images)
    assert json.loads((tmp_path / "again.json").read_text()) == json.loads(file.read_text())
    assert [len(part) for part in parts] == [26, 18, 20]


def test_a_missing_image_is_named(root):
    (root / "toy" / "images" / "c2" / "val_0.png").unlink()
    with pytest.raises(InputError, match=r"c2/val_0\.png is listed in .*split_zhou_Toy\.json but does not exist"):
        read_split(str(root / "toy" / "split_zhou_Toy.json"), str(root / "toy" / "images"))


@pytest.mark.parametrize("text", ["{", "[]", '{"train": [["a.png", 0]]}', '{"train": [["a.png", "x", "name"]]}'])
def test_a_damaged_split_file_is_one_sentence(tmp_path, text):
    file = tmp_path / "split.json"
    file.write_text(text)
    with pytest.raises(InputError, match=r"split\.json"):
        read_split(str(file), str(tmp_path))


def folders(path, counts):
    for name, count in counts.items():
        (path / name).mkdir(parents=True)
        for i in range(count):
            (path / name / f"{i}.png").touch()
    return str(path)


def test_folders_are_split_in_sorted_order(tmp_path):
    image_dir = folders(tmp_path / "images", {"b": 11, "Zebra": 10, "junk": 9, ".git": 3})
    (tmp_path / "images" / "README.txt").touch()

    def split():
        random.seed(3)
        return read_and_split_data(image_dir, ignored=["junk"], new_cnames={"Zebra": "horse"})

    train, val, test = split()
    assert [(x.label, x.classname) for x in val] == [(0, "horse")] * 2 + [(1, "b")] * 2
    assert (len(train), len(test)) == (11, 6), "round half to even: 5.5 of 11 gives 6"
    paths = [item.impath for item in train + val + test]
    assert len(set(paths)) == 21
    assert paths == [item.impath for part in split() for item in part]
    assert paths[:5] != sorted(paths)[:5], "files are shuffled"


def test_a_class_too_small_to_split_is_named(tmp_path):
    with pytest.raises(InputError, match="few holds 2 images"):
        read_and_split_data(folders(tmp_path, {"few": 2}))
    with pytest.raises(InputError, match="no class folders"):
        read_and_split_data(folders(tmp_path / "none", {".hidden": 1}))


def test_labels_of_a_read_split_are_integers(root):
    train, _, _ = read_split(str(root / "toy" / "split_zhou_Toy.json"), str(root / "toy" / "images"))
    assert all(type(item.label) is int and isinstance(item, Datum) for item in train)
