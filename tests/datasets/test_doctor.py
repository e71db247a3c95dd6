"""`python -m datasets doctor`: what it finds, and that it finds what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dassl.data.datasets import DATASET_REGISTRY
from datasets.__main__ import main
from datasets.base import SplitDataset
from datasets.commands import checkup
from datasets.reading.catalog import entries, find
from datasets.reading.images import unreadable
from datasets.reading.split_hashes import SPLIT_SHA256

REAL = Path(__file__).parents[3] / "shared" / "data"
NAMES = ["cat", "dog", "sea horse"]


class DocToy(SplitDataset):
    dataset_dir = "doc_toy"
    image_dir = "images"
    split_file = "split_zhou_DocToy.json"
    needs = {"images": "toys.zip of example.org", "meta.txt": "meta.txt of example.org"}
    sizes = (3, 6, 3, 3)


@pytest.fixture
def toy(tmp_path, monkeypatch) -> Path:
    """A healthy dataset, registered as DocToy: 3 classes, 2 training, 1 validation and 1 test image each."""
    monkeypatch.setitem(DATASET_REGISTRY._members, "DocToy", DocToy)
    folder = tmp_path / "doc_toy"
    (folder / "images").mkdir(parents=True)
    (folder / "meta.txt").touch()
    split: dict[str, list] = {"train": [], "val": [], "test": []}
    pixels = np.random.default_rng(0).integers(0, 255, (16, 16, 3), dtype=np.uint8)
    for label, name in enumerate(NAMES):
        for i, part in enumerate(("train", "train", "val", "test")):
            Image.fromarray(pixels).save(folder / "images" / f"{label}_{i}.jpg")
            split[part].append([f"{label}_{i}.jpg", label, name])
    write(folder, split)
    return folder


def write(folder: Path, split: dict) -> None:
    (folder / DocToy.split_file).write_text(json.dumps(split))


def read(folder: Path) -> dict:
    return json.loads((folder / DocToy.split_file).read_text())


@pytest.fixture
def doctor(toy, capsys):
    """The exit code and what is printed."""

    def command(*args: str) -> tuple[int, str]:
        code = main(["doctor", *(args or ("doctoy",)), "--root", str(toy.parent)])
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    return command


def test_a_healthy_dataset(doctor, toy):
    before = {path: path.stat().st_mtime_ns for path in toy.rglob("*")}
    code, out = doctor()
    assert code == 0 and "problem" not in out
    row = next(line for line in out.splitlines() if line.startswith("DocToy")).split()
    assert row == ["DocToy", "ok", "3", "6", "3", "3", "0", str(toy)]
    assert {path: path.stat().st_mtime_ns for path in toy.rglob("*")} == before  # nothing was written


def test_absent_ones_are_listed_with_their_place_and_are_a_problem_only_if_named(doctor, toy):
    code, out = doctor("caltech101")
    assert code == 1 and "absent" in out and str(toy.parent / "caltech-101") in out
    assert "python -m datasets prepare caltech101" in out
    code, out = doctor("--quick")
    assert code == 1 and "No dataset is in" in out  # DocToy has no YAML file
    (toy.parent / "eurosat").mkdir()
    code, out = doctor("--quick")
    assert code == 1 and out.count("absent") >= 20 and "eurosat:" in out and "caltech101:" not in out


def test_damaged_images_are_named(doctor, toy):
    (toy / "images" / "0_0.jpg").write_bytes(b"")
    whole = (toy / "images" / "1_3.jpg").read_bytes()
    (toy / "images" / "1_3.jpg").write_bytes(whole[: len(whole) * 2 // 3])
    (toy / "images" / "2_1.jpg").write_text("<html>")
    code, out = doctor()
    assert code == 1 and out.count("cannot be read") == 3 and "(it is empty)" in out and "1_3.jpg" in out
    assert doctor("doctoy", "--quick")[0] == 0


def test_images_are_read_by_several_and_reported_in_order(tmp_path):
    good, paths = tmp_path / "good.png", []
    Image.new("L", (2, 2)).save(good)
    for i in range(200):
        bad = tmp_path / f"{i}.png"
        if i % 50 == 7:
            bad.write_text("no")
        paths.append(str(bad if i % 50 == 7 else good))
    found = unreadable(paths, workers=3)
    assert [Path(line.split()[2]).stem for line in found.values()] == ["7", "57", "107", "157"]


@pytest.mark.parametrize(
    "change, says",
    [
        (lambda s: s["train"].pop(), "5 train instead of 6"),
        (lambda s: s["train"].__delitem__(slice(0, 2)), "class 'cat' (label 0) has no training image"),
        (lambda s: s["val"][0].__setitem__(2, "kitten"), "label 0 is called 'cat' and 'kitten'"),
        (lambda s: s["test"].__setitem__(0, s["train"][0]), "is in both train and test"),
        (lambda s: [x.__setitem__(2, " dog") for p in s.values() for x in p if x[1] == 1], "label 1 is ' dog'"),
        (lambda s: s["val"][0].__setitem__(0, "gone.jpg"), "1 of 12 images are missing"),
        (lambda s: s.__setitem__("note", "generated here"), "was generated here: results are not comparable"),
        (lambda s: s.pop("test"), "there are no test images"),
        (lambda s: s["val"][0].pop(), "it does not have these three parts"),
    ],
)  # fmt: skip
def test_wrong_splits(change, says, doctor, toy):
    split = read(toy)
    change(split)
    write(toy, split)
    code, out = doctor()
    assert code == 1 and says in out and "Traceback" not in out


def test_two_classes_of_one_name_are_only_noted(doctor, toy):
    split = read(toy)
    for part in split.values():
        for item in part:
            item[2] = "cat" if item[1] == 2 else item[2]
    write(toy, split)
    code, out = doctor()
    assert code == 0 and "note: labels 0, 2 are all called 'cat'" in out


def test_missing_files_are_named_with_their_source(doctor, toy):
    (toy / "meta.txt").unlink()
    (toy / DocToy.split_file).rename(toy / "other.json")
    code, out = doctor()
    assert code == 1 and f"{toy / 'meta.txt'} is missing: meta.txt of example.org" in out
    assert f"{toy / DocToy.split_file} is missing" in out and not (toy / DocToy.split_file).exists()


def test_a_split_without_images_still_shows_its_numbers(doctor, toy):
    (toy / "images").rename(toy / "pictures")
    code, out = doctor()
    row = next(line for line in out.splitlines() if line.startswith("DocToy")).split()
    assert code == 1 and row[:7] == ["DocToy", "problems", "3", "6", "3", "3", "-"]
    assert out.count(f"{toy / 'images'} is missing") == 1


def test_a_split_that_another_program_generated_is_told_from_the_published_one(doctor, toy, monkeypatch):
    monkeypatch.setitem(SPLIT_SHA256, "DocToy", checkup.split_sha256(read(toy)))
    assert doctor()[0] == 0
    split = read(toy)
    split["train"][0], split["val"][0] = split["val"][0], split["train"][0]  # equal numbers
    write(toy, split)
    code, out = doctor()
    assert code == 1 and "lists other items than CoOp's file" in out


def test_a_dataset_without_a_split_file_is_judged_by_its_loader(doctor, toy):
    folder = toy.parent / "imagenet"
    (folder / "images" / "train" / "n01440764").mkdir(parents=True)
    (folder / "images" / "val").mkdir()
    (folder / "classnames.txt").write_text("n01440764 tench\n")
    for path in ("train/n01440764/a.JPEG", "val/ILSVRC2012_val_1.JPEG"):
        Image.new("RGB", (4, 4)).save(folder / "images" / path)
    code, out = doctor("imagenet")
    assert code == 1 and "no synset folders" in out  # the flat validation folder
    (folder / "images" / "val" / "n01440764").mkdir()
    (folder / "images" / "val" / "ILSVRC2012_val_1.JPEG").rename(folder / "images" / "val" / "n01440764" / "1.JPEG")
    code, out = doctor("ImageNet")
    assert code == 1 and "1 (1000)" in out and "1 (1281167)" in out and "1 train instead of 1281167" in out
    assert next(line for line in out.splitlines() if line.startswith("imagenet ")).split()[-2] == "0"  # unreadable


def test_a_test_only_set(doctor, toy, monkeypatch):
    monkeypatch.setattr(DocToy, "test_only", True)
    monkeypatch.setattr(DocToy, "sizes", (3, 3, 0, 3))
    split = read(toy)
    write(toy, {"test": split["test"]})
    assert doctor()[0] == 0


def test_bad_usage(doctor):
    code, out = doctor("caltec101")
    assert code == 2 and out.count("\n") == 1 and "nearest: caltech101" in out
    assert doctor("folder")[0] == doctor("--workers", "0")[0] == 2
    with pytest.raises(SystemExit) as exit_:
        main(["doctr"])
    assert exit_.value.code == 2


def test_names_are_yaml_stems_or_registered_names():
    assert find("dtd") == find("DescribableTextures") == find("DTD")
    stems = {entry.stem for entry in entries()}
    assert {"caltech101", "imagenet", "eurosat", "digits"} <= stems


@pytest.mark.skipif(not (REAL / "caltech-101").is_dir(), reason="needs the real files")
def test_the_real_files(capsys):
    assert main(["doctor", "caltech101", "--quick", "--root", str(REAL)]) == 0
    assert "100     4128   1649    2465" in capsys.readouterr().out
    assert main(["doctor", "eurosat", "dtd", "--quick", "--root", str(REAL)]) == 1  # no images
    out = capsys.readouterr().out
    assert "13500   5400    8100" in out and "comparable" not in out
