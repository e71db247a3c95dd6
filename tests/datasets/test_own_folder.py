"""`Folder`: one's own images, by config alone."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from pathlib import Path

import layouts
import pytest
import yaml
from PIL import Image
from yacs.config import CfgNode

from dassl.utils import InputError, read_image
from dassl.utils.images import same_reading, set_upright
from datasets.folder import Folder
from datasets.food101 import Food101
from datasets.reading import images, whole
from runs.defaults import default_cfg

ROOT = Path(__file__).resolve().parents[2]
NAMES = ["Black cat", "dog", "trout"]


@pytest.fixture(autouse=True)
def as_coop_reads():
    yield
    set_upright(False)


@pytest.fixture
def cfg(make_cfg):
    def make(root, shots=-1, half="all", **settings):
        made = make_cfg(root, shots, half=half)
        made.DATASET.FOLDER = CfgNode({"PATH": "."} | settings)
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


@pytest.mark.parametrize("change", ["image removed", "class renamed", "class removed"])
def test_an_older_split_is_said_to_be_older(change, pets, cfg):
    Folder(cfg(pets.parent, PATH="pets"))
    if change == "image removed":
        (pets / "dog/003.jpg").unlink()
    elif change == "class renamed":
        (pets / "dog").rename(pets / "wolf")
    else:
        shutil.rmtree(pets / "dog")
    words = (
        r"pets/dog/.* does not exist; restore it, or remove .*/split_folder\.json, which is older, to have a new split"
    )
    with pytest.raises(InputError, match=words):
        Folder(cfg(pets.parent, PATH="pets"))
    (pets / "split_folder.json").unlink()
    assert Folder(cfg(pets.parent, PATH="pets")).num_classes >= 2


def test_a_class_that_came_later_is_named(pets, cfg, caplog):
    Folder(cfg(pets.parent, PATH="pets"))
    layouts.class_folders(pets, ["cow"], 20)
    assert Folder(cfg(pets.parent, PATH="pets")).classnames == NAMES
    assert "20 images" in caplog.text and "all of the class cow" in caplog.text and "left out" in caplog.text


def test_files_that_are_left_out_are_counted(pets, cfg, caplog):
    layouts.touch(pets / "dog/a.jfif", pets / "trout/b.AVIF", pets / "trout/IMG_1", pets / "trout/more/1.jpg")
    assert sum(sizes(Folder(cfg(pets.parent, PATH="pets")))) == 30
    (line,) = [line for line in caplog.messages if "beside the images" in line]
    assert "4 files or folders" in line and "a.jfif" in line


def test_what_runs_keep_beside_the_classes_is_no_class(pets, cfg):
    layouts.touch(pets / "noise/16shot_split1/sym.json", pets / "split_fewshot/shot_1-seed_1.json")
    assert Folder(cfg(pets.parent, PATH="pets")).classnames == NAMES
    layouts.class_folders(pets, ["noise"])
    (pets / "split_folder.json").unlink()
    assert Folder(cfg(pets.parent, PATH="pets")).classnames == [*NAMES[:2], "noise", "trout"]


def test_without_a_path_nothing_is_taken_for_the_set(pets, cfg):
    with pytest.raises(InputError, match=r"PATH is not set: name the folder of the images, .* '\.' is --root itself"):
        Folder(make_without_path(cfg, pets))
    assert not (pets / "split_folder.json").exists()
    assert Folder(cfg(pets, PATH=".")).classnames == NAMES


def make_without_path(cfg, root):
    made = cfg(root)
    made.DATASET.FOLDER.PATH = ""
    return made


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
    more = [["trout/004.jpg", 0, "fish"], ["dog/002.jpg", 1, "mammal"]]
    records = [["trout/003.jpg", 0, "fish"], ["dog/001.jpg", 1, "mammal"], ["Black cat/000.jpg", 1, "mammal"]]
    layouts.write(pets / "mine.json", [json.dumps({"train": records, "test": more})])
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
        (
            lambda p: layouts.touch(*(p / f"few/{i}.jpg" for i in range(3)), p / "one/1.jpg"),
            {},
            r"pets: each class needs 4 images .*, and these have fewer: few \(3\), one \(1\); add some, take the class",
        ),
        (
            lambda p: layouts.write(p / "n.txt", ["dog a", "dog b", "trout trout", "Black cat\tcat"]),
            {"CLASSNAMES": "n.txt"},
            "n.txt has two lines for 'dog', 'a' and 'b'",
        ),
        (
            lambda p: layouts.write(p / "n.txt", ["dog dog", "trout trout", "Black cat cat"]),
            {"CLASSNAMES": "n.txt"},
            "no line for the class 'Black cat'; add one for each class .with a tab",
        ),
        (lambda p: (p / "mine.json").write_text("{"), {"SPLIT_FILE": "mine.json"}, "mine.json cannot be .*correct it"),
        (
            lambda p: (p / "mine.json").write_text('{"train": [["no.jpg", 0, "a"]]}'),
            {"SPLIT_FILE": "mine.json"},
            "no.jpg is listed in .*mine.json but does not exist; add it, or take its line out",
        ),
        (
            lambda p: (p / "split_folder.json").write_text("{"),
            {},
            "split_folder.json cannot be used .*remove it to have a new split drawn",
        ),
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
    cfg = default_cfg()
    keys = {"PATH": "", "SPLIT_FILE": "", "CLASSNAMES": "", "EXIF": True, "SKIP_BAD": False}
    assert keys == cfg.DATASET.FOLDER
    assert cfg.DATASET.FOOD101N.TEST == "coop" and cfg.DATASET.WEBVISION.TEST == "webvision_val"


def photos(folder: Path, names=("a_cup", "b_plate"), count: int = 6) -> Path:
    for label, name in enumerate(names):
        for i in range(count):
            (folder / name).mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (20, 20), (100 * label, 20 * i, 0)).save(folder / name / f"{i}.png")
    return folder


def old(folder: Path) -> None:
    """Files as of yesterday: what has just changed is looked at again."""
    for file in folder.rglob("*.png"):
        os.utime(file, (file.stat().st_atime, time.time() - 86400))


def test_all_images_are_looked_at_once(tmp_path, cfg, monkeypatch):
    folder = photos(tmp_path / "photos")
    old(folder)
    read = []
    monkeypatch.setattr(images, "read_image", lambda path: read.append(path) or whole.read_image(path))
    Folder(cfg(folder)).check_images()
    assert len(read) == 12 and (folder / whole.CHECKED).is_file()
    Folder(cfg(folder)).check_images()
    assert len(read) == 12, "nothing has changed"
    Image.new("RGB", (9, 9)).save(folder / "a_cup/3.png")
    Folder(cfg(folder)).check_images()
    assert len(read) == 13 and read[-1].endswith("a_cup/3.png")
    (folder / whole.CHECKED).write_text("{")
    Folder(cfg(folder)).check_images()
    assert len(read) == 25
    set_upright(True)  # other rules of reading
    assert not whole.bad_images([str(folder / "a_cup/1.png")], str(folder)) and len(read) == 25


def test_an_image_that_cannot_be_read_is_named_or_skipped(tmp_path, cfg, caplog):
    folder = photos(tmp_path / "photos")
    (folder / "a_cup/2.png").write_bytes(b"")
    (folder / "b_plate/4.png").write_bytes(b"PNG?")
    with pytest.raises(InputError, match=r"2\.png cannot be read .* and 1 more .*--skip-bad .*SKIP_BAD: True"):
        Folder(cfg(folder)).check_images()
    data = Folder(cfg(folder, SKIP_BAD=True))
    data.check_images()
    assert sum(sizes(data)) == 10 and "2 images skipped" in caplog.text


def test_images_are_turned_as_their_camera_noted_and_other_sets_are_not(tmp_path, cfg, caplog):
    folder = photos(tmp_path / "photos")
    left = Image.new("RGB", (20, 10), "red")
    left.paste((0, 0, 255), (0, 0, 10, 10))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned to the left: upright is a quarter to the right
    left.save(folder / "a_cup/0.png", exif=exif)
    Folder(cfg(folder))
    found = read_image(folder / "a_cup/0.png")
    assert found.size == (10, 20) and found.getpixel((5, 2)) == (0, 0, 255) and "upright" in read_image.rules
    Folder(cfg(folder, EXIF=False))
    assert read_image(folder / "a_cup/0.png").size == (20, 10) and read_image.rules == 2
    set_upright(True)
    layouts.food101(tmp_path)
    Food101(cfg(tmp_path))
    assert read_image.rules == 2, "published sets are read as CoOp reads them"


def test_a_dataset_that_is_made_beside_the_tested_one_leaves_its_reading(tmp_path, cfg):
    layouts.food101(tmp_path)
    Folder(cfg(photos(tmp_path / "photos")))
    with same_reading():
        Food101(cfg(tmp_path))
        assert read_image.rules == 2
    assert "upright" in read_image.rules


def test_a_copy_in_train_and_test_ends_the_run_before_it_trains(tiny, tmp_path, capsys):
    folder = photos(tmp_path / "data/photos", count=12)
    for i in range(3, 12):
        shutil.copy(folder / "a_cup/1.png", folder / f"a_cup/copy {i}.png")
    pairs = {"DATASET.NAME": "Folder", "DATASET.FOLDER.PATH": "photos", "OPTIM.MAX_EPOCH": 1}
    pairs |= {"DATASET.SUBSAMPLE_CLASSES": "all", "DATASET.NUM_SHOTS": -1}
    assert tiny.run(tmp_path / "run", "CoOp", ("--root", tmp_path / "data"), pairs) == 2
    said = capsys.readouterr().err
    assert "byte for byte test images too" in said and "is a copy of" in said


def test_a_root_named_by_mistake_is_not_made(tiny, tmp_path, capsys):
    pairs = {"DATASET.NAME": "Folder", "DATASET.FOLDER.PATH": "photos"}
    assert tiny.run(tmp_path / "run", "CoOp", ("--root", tmp_path / "dta"), pairs) == 2
    assert "there is no folder" in capsys.readouterr().err and not (tmp_path / "dta").exists()
