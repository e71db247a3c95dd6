"""`Folder`: one's own images, by config alone."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import layouts
import pytest
import yaml
from PIL import Image
from yacs.config import CfgNode

import train
from dassl.utils import InputError
from datasets.folder import Folder

ROOT = Path(__file__).resolve().parents[2]
NAMES = ["Black cat", "dog", "trout"]


@pytest.fixture
def cfg(make_cfg):
    def make(root, shots=-1, half="all", **settings):
        made = make_cfg(root, shots, half=half)
        made.DATASET.FOLDER = CfgNode(settings)
        return made

    return make


@pytest.fixture
def pets(tmp_path):
    layouts.class_folders(tmp_path / "pets", NAMES, 10)
    layouts.touch(tmp_path / "pets/dog/notes.txt", tmp_path / "pets/dog/.hidden.jpg", tmp_path / "pets/readme.md")
    return tmp_path / "pets"


def sizes(data):
    return [len(part or []) for part in (data.train_x, data.val, data.test)]


def paths(data):
    return [[x.impath for x in part] for part in (data.train_x, data.val, data.test)]


def test_one_folder_per_class_is_split(pets, cfg, caplog):
    data = Folder(cfg(pets.parent, PATH="pets"))
    assert data.classnames == NAMES and sizes(data) == [15, 6, 9]
    assert all(x.impath.endswith(".jpg") and "/." not in x.impath for x in data.train_x)
    assert not caplog.text, "no published split is missing here"
    again = Folder(cfg("/elsewhere", PATH=str(pets)))
    assert paths(again) == paths(data)
    few = Folder(cfg(pets.parent, PATH="pets", shots=2, half="base"))
    assert few.classnames == NAMES[:2] and sizes(few) == [4, 4, 6]
    (pets / "split_folder.json").unlink()
    assert (pets / "split_fewshot").is_dir()
    assert Folder(cfg(pets, shots=2)).classnames == NAMES, "PATH may be ROOT; the few-shot folder is no class"


def test_the_split_stays_when_images_are_added(pets, cfg, caplog):
    first = paths(Folder(cfg(pets)))
    layouts.touch(pets / "dog/999.jpg")
    assert paths(Folder(cfg(pets))) == first
    assert "1 images" in caplog.text and "split_folder.json" in caplog.text and "999.jpg" in caplog.text
    (pets / "split_folder.json").unlink()
    assert sum(sizes(Folder(cfg(pets)))) == 31


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({"train": 5, "val": 2, "test": 3}, [15, 6, 9]),
        ({"train": 5, "validation": 2, "test": 3}, [15, 6, 9]),
        ({"train": 5, "test": 3}, [15, 0, 9]),
        ({"train": 5, "val": 2}, [15, 0, 6]),
        ({"test": 3}, [9, 0, 9]),
    ],
)
def test_parts_may_be_given_by_folders(parts, expected, tmp_path, cfg):
    for part, count in parts.items():
        layouts.class_folders(tmp_path / part, NAMES, count, ".PNG")
    data = Folder(cfg(tmp_path))
    assert sizes(data) == expected and data.classnames == NAMES
    assert not (tmp_path / "split_folder.json").exists()
    assert all(item.impath.split("/")[-2] == NAMES[item.label] for item in (*data.train_x, *data.test))
    assert all(item.impath.startswith(str(tmp_path / ("test" if "test" in parts else "val"))) for item in data.test)


def test_a_split_file_may_name_any_images(pets, cfg):
    records = [["trout/003.jpg", 0, "fish"], ["dog/001.jpg", 1, "mammal"], ["Black cat/000.jpg", 1, "mammal"]]
    layouts.write(pets / "mine.json", [json.dumps({"train": records, "test": records[:2]})])
    data = Folder(cfg(pets, SPLIT_FILE="mine.json"))
    assert data.classnames == ["fish", "mammal"] and sizes(data) == [3, 0, 2]


def test_class_names_may_come_from_a_file(pets, cfg):
    lines = ["trout\tbrown trout", "Black cat\tcat", "dog\ta good dog", "cow\tcow"]
    layouts.write(pets / "names.txt", lines)
    assert Folder(cfg(pets, CLASSNAMES="names.txt")).classnames == ["cat", "a good dog", "brown trout"]
    (pets / "Black cat").rename(pets / "Black_cat")
    (pets / "split_folder.json").unlink()
    layouts.write(pets / "names.txt", ["Black_cat black cat", "dog a good dog", "trout trout"])
    assert Folder(cfg(pets, CLASSNAMES="names.txt")).classnames == ["black cat", "a good dog", "trout"]


@pytest.mark.parametrize(
    ("edit", "settings", "sentence"),
    [
        (None, {"PATH": "gone"}, r"there is no folder .*pets/gone; set DATASET\.FOLDER\.PATH"),
        (None, {"SPLIT_FILE": "gone.json"}, r"DATASET\.FOLDER\.SPLIT_FILE is 'gone\.json', but there is no file"),
        (None, {"CLASSNAMES": "gone.txt"}, r"DATASET\.FOLDER\.CLASSNAMES is 'gone\.txt', but there is no file"),
        (
            lambda p: layouts.write(p / "n.txt", ["dog dog", "trout trout"]),
            {"CLASSNAMES": "n.txt"},
            "class 'Black cat'",
        ),
        (lambda p: layouts.write(p / "n.txt", ["dog"]), {"CLASSNAMES": "n.txt"}, "is not 'folder class name'"),
        (lambda p: (p / "empty").mkdir(), {}, r"pets/empty holds no images"),
        (lambda p: layouts.touch(p / "few/1.jpg"), {}, "pets/few holds 1 images, too few"),
        (lambda p: [shutil.rmtree(p / name) for name in NAMES], {}, "pets has no class folders"),
        (
            lambda p: [layouts.touch(p / "train/dog/1.jpg"), layouts.touch(p / "test/cow/1.jpg")],
            {},
            "test/cow is a class that train does not have",
        ),
    ],
)
def test_what_is_wrong_is_one_sentence(pets, cfg, edit, settings, sentence):
    if edit:
        edit(pets)
    with pytest.raises(InputError, match=sentence) as error:
        Folder(cfg(pets, **settings))
    assert "\n" not in str(error.value)


def test_a_run_on_own_images_by_the_words_of_the_manual(tiny, tmp_path):
    """The YAML of docs/own_data.md, with train.py; and a misspelt key is an error."""
    for label, name in enumerate(("a_cup", "b_plate")):
        for i in range(10):
            path = tmp_path / "data" / "my_images" / name / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (20, 20), (100 * label, 20 * i, 0)).save(path)
    text = (ROOT / "docs" / "own_data.md").read_text()
    config = tmp_path / "my_images.yaml"
    config.write_text(re.search(r"```yaml\n(.*?)```", text, re.S).group(1))
    assert yaml.safe_load(config.read_text())["DATASET"]["NAME"] == "Folder"
    layouts.write(tmp_path / "data/my_images/names.txt", ["a_cup coffee cup", "b_plate plate"])
    flags = ("--root", tmp_path / "data", "--dataset-config-file", config)
    pairs = {"DATASET.NAME": "Folder", "OPTIM.MAX_EPOCH": 1, "DATASET.SUBSAMPLE_CLASSES": "all"}
    assert tiny.run(tmp_path / "run", "CoOp", flags, pairs) == 0
    record = json.loads((tmp_path / "run" / "results.json").read_text())
    assert record["items"]["test"]["count"] == 6
    assert [x["name"] for x in record["results"]["per_class"].values()] == ["coffee cup", "plate"]
    config.write_text(config.read_text().replace("PATH", "PTH"))
    assert tiny.run(tmp_path / "run2", "CoOp", flags, pairs) == 2


def test_the_keys_of_datasets_are_known_to_a_run():
    cfg = train.get_cfg_default()
    train.extend_cfg(cfg)
    assert cfg.DATASET.FOLDER == {"PATH": "", "SPLIT_FILE": "", "CLASSNAMES": ""}
    assert cfg.DATASET.FOOD101N.TEST == "coop" and cfg.DATASET.WEBVISION.TEST == "webvision_val"
