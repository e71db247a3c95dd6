"""CoOp's own split files, where they are at hand; the images are not needed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from dassl.data.datasets import DATASET_REGISTRY
from dassl.utils import read_json
from datasets.base import read_split
from datasets.eurosat import EuroSAT
from datasets.imagenet import ImageNet
from datasets.reading.splits import split_trainval
from datasets.ucf101 import spaced_action

REAL = Path(__file__).parents[3] / "shared" / "data"
SETS = {
    "DescribableTextures": (24, 23),
    "EuroSAT": (5, 5),
    "OxfordFlowers": (51, 51),
    "OxfordPets": (19, 18),
    "StanfordCars": (98, 98),
    "UCF101": (51, 50),
}
pytestmark = pytest.mark.skipif(not (REAL / "eurosat").is_dir(), reason="needs CoOp's split files")


@pytest.fixture(scope="module")
def split():
    """(train, val, test) by registered name, each file read once, without its images."""
    read = {}
    for name in SETS:
        cls = DATASET_REGISTRY.get(name)
        folder = REAL / cls.dataset_dir
        read[name] = read_split(str(folder / cls.split_file), str(folder / cls.image_dir), check_files=False)
    return read


@pytest.mark.parametrize("name", SETS)
def test_sizes_labels_and_names(name, split):
    parts, (classes, *counts) = split[name], DATASET_REGISTRY.get(name).sizes
    assert [len(part) for part in parts] == counts
    for part in parts:
        assert {x.label for x in part} == set(range(classes))
    assert len({(x.label, x.classname) for part in parts for x in part}) == classes, "one name a label"
    images = [x.impath for part in parts for x in part]
    assert len(set(images)) == len(images), "no image is in two parts"


@pytest.mark.parametrize("name", SETS)
def test_whole_loading_without_images(name, make_cfg, monkeypatch, caplog):
    monkeypatch.setenv("DASSL_SKIP_FILE_CHECK", "1")
    cls = DATASET_REGISTRY.get(name)
    base, new = (cls(make_cfg(REAL, half=half)) for half in ("base", "new"))
    assert (base.num_classes, new.num_classes) == SETS[name]
    assert base.classnames + new.classnames == base.all_classnames
    assert len(base.test) + len(new.test) == cls.sizes[3]
    assert "Warning" not in caplog.text


def names(parts):
    """Each image's path below the image folder -> class name."""
    return {"/".join(x.impath.split("/")[-2:]): x.classname for part in parts for x in part}


def test_the_rules_for_class_names_give_the_official_names(split):
    assert {path.split("/")[0]: name for path, name in names(split["EuroSAT"]).items()} == dict(EuroSAT.renames)
    assert all(path.split("/")[0] == name for path, name in names(split["DescribableTextures"]).items())
    for path, name in names(split["UCF101"]).items():
        assert path.split("/")[0] == name == spaced_action(name.replace("_", ""))
    for path, name in names(split["OxfordPets"]).items():
        assert path.split("/")[1].rpartition("_")[0].lower() == name
    flowers = read_json(str(REAL / "oxford_flowers" / "cat_to_name.json"))
    assert all(x.classname == flowers[str(x.label + 1)] for part in split["OxfordFlowers"] for x in part)
    assert all(x.classname[:4].isdigit() for x in split["StanfordCars"][0]), "the year first"


@pytest.mark.parametrize("name", ["OxfordPets", "StanfordCars", "UCF101"])
def test_our_way_of_splitting_gives_the_official_counts(name, split):
    """Of each class as many images go to val as in the official file."""
    train, val, _ = split[name]
    _, ours = split_trainval([*train, *val])
    assert Counter(x.label for x in ours) == Counter(x.label for x in val)


def test_imagenets_class_names():
    known = ImageNet.read_classnames(str(REAL / "imagenet" / "classnames.txt"))
    assert len(known) == 1000 and list(known) == sorted(known)
    assert list(known.values())[:3] == ["tench", "goldfish", "great white shark"] and known["n01698640"]
