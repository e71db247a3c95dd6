"""Few-shot lists of other projects, and ours, in place of a draw."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import layouts
import pytest
from yacs.config import CfgNode

from dassl.data.datasets import Datum
from dassl.utils import InputError
from datasets.__main__ import main
from datasets.folder import Folder
from datasets.reading.splits import known_item

NAMES = ["cat", "dog"]


@pytest.fixture
def pets(tmp_path) -> Path:
    for part, count in (("train", 6), ("val", 5), ("test", 3)):
        layouts.class_folders(tmp_path / "pets" / part, NAMES, count)
    return tmp_path / "pets"


@pytest.fixture
def load(make_cfg, pets):
    def made(file="", shots=2, half="all", seed=1):
        cfg = make_cfg(pets, shots, half=half)
        cfg.SEED = seed
        cfg.DATASET.FOLDER, cfg.DATASET.FEWSHOT_FILE = CfgNode({"PATH": "."}), str(file)
        return Folder(cfg)

    return made


def below(items, pets) -> list[str]:
    return [str(Path(item.impath).relative_to(pets)) for item in items]


WANTED = ["train/dog/005.jpg", "train/cat/001.jpg", "train/cat/003.jpg", "train/dog/002.jpg"]
LABELS = {"cat": 0, "dog": 1}


def name_of(path: str) -> str:
    return path.split("/")[1]


def test_json_lines_of_another_machine(load, pets, tmp_path):
    for key, more in (("impath", {}), ("image", {"split": "train"}), ("path", {"classname": True, "label": True})):
        lines = [{key: f"/home/else/data/pets/{path}"} | more for path in WANTED]
        for line in lines if "label" in more else ():
            name = name_of(line[key].partition("pets/")[2])
            line |= {"classname": name, "label": LABELS[name]}
        lines.append({key: "/home/else/data/pets/test/cat/000.jpg", "split": "test"})
        file = tmp_path / f"{key}.jsonl"
        file.write_text("\n".join(map(json.dumps, lines)) + "\n\n")
        data = load(file)
        assert below(data.train_x, pets) == WANTED, "the list's order"
        assert below(data.val, pets) == below(load().val, pets), "drawn as without a list"


def test_coops_pickles_are_read_without_running_them(load, pets, tmp_path):
    there = tmp_path / "ran"

    class Evil:
        def __reduce__(self):
            return Path.touch, (there,)

    items = [known_item(f"/elsewhere/pets/{path}", LABELS[name_of(path)], name_of(path)) for path in WANTED]
    file = tmp_path / "shot_2-seed_1.pkl"
    file.write_bytes(pickle.dumps({"train": items, "val": items[:0], "more": Evil()}))
    assert isinstance(pickle.loads(file.read_bytes())["train"][0], Datum) and there.exists()
    there.unlink()
    assert below(load(file).train_x, pets) == WANTED
    assert not there.exists(), "nothing in the file was called"


def test_validation_images_and_names_by_seed(load, pets, tmp_path):
    val = ["val/cat/004.jpg", "val/dog/000.jpg"]
    (tmp_path / "k2_s3.json").write_text(json.dumps({"train": WANTED, "val": val}))
    data = load(tmp_path / "k{shots}_s{seed}.json", seed=3)
    assert below(data.train_x, pets) == WANTED and below(data.val, pets) == val
    assert below(load(tmp_path / "k2_s3.json", half="new").train_x, pets) == [WANTED[0], WANTED[3]]


def test_our_lists_are_read_again(load, pets, tmp_path, capsys):
    words = ["items", "digits", "--root", str(tmp_path), "--shots", "2", "--seed", "1", "2"]
    assert main([*words, "--lists", str(tmp_path / "lists")]) == 0
    files = [tmp_path / f"lists/digits/shot_2-seed_{seed}.jsonl" for seed in (1, 2)]
    assert capsys.readouterr().out.split() == list(map(str, files))
    first = [json.loads(line) for line in files[0].read_text().splitlines()]
    assert len(first) == 40 and [x["split"] for x in first].count("train") == 20
    assert {(x["label"], x["classname"]) for x in first if x["label"] == 3} == {(3, "three")}
    from datasets.reading.catalog import find, make_cfg

    cfg = make_cfg(find("digits"), tmp_path, 2, seed=1)
    cfg.defrost()
    cfg.DATASET.FEWSHOT_FILE = str(files[0])
    again, drawn = find("digits").loader(cfg), find("digits").loader(make_cfg(find("digits"), tmp_path, 2, seed=1))
    assert [x.impath for x in again.train_x] == [x.impath for x in drawn.train_x]
    assert [x.impath for x in again.val] == [x.impath for x in drawn.val]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"impath": "train/cat/009.jpg"}', "lists train/cat/009.jpg, which is none of the training images"),
        ('{"impath": "train/cat/001.jpg", "classname": "dog"}', "is of the class 'dog', but of 'cat'"),
        ('{"impath": "train/cat/001.jpg", "label": 1}', "is of the class 1, but of 'cat' .label 0. here"),
        ('{"impath": "train/cat/001.jpg"}\n{"impath": "train/cat/001.jpg"}', "lists train/cat/001.jpg twice"),
        ('{"impath": "train/cat/001.jpg"}', "lists 1 images of the class 'cat', but DATASET.NUM_SHOTS is 2"),
        ('{"name": "x"}', "line 1, has an entry without the path of an image"),
        ("[", "line 1, is no JSON"),
        ('{"impath": "a", "split": "test"}', "lists no training images"),
    ],
)
def test_a_list_that_does_not_fit_is_one_sentence(text, said, load, tmp_path):
    (tmp_path / "x.jsonl").write_text(text)
    with pytest.raises(InputError, match=said) as error:
        load(tmp_path / "x.jsonl")
    assert "\n" not in str(error.value)


def test_a_file_that_is_no_list(load, tmp_path):
    (tmp_path / "x.pkl").write_bytes(b"no pickle")
    for file, shots, said in (
        ("x.pkl", 2, "cannot be read as one of CoOp's pickles"), ("none.jsonl", 2, "there is no such file"),
        ("x.txt", 2, "no such file"), ("x.pkl", -1, "but DATASET.NUM_SHOTS is -1"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=said):
            load(tmp_path / file, shots)
    (tmp_path / "x.txt").touch()
    with pytest.raises(InputError, match="must end in one of .jsonl"):
        load(tmp_path / "x.txt")
