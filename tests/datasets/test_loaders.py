"""CoOp's datasets with a split file or annotation files, each in its published layout; the split is generated here."""

from __future__ import annotations

import json
import shutil

import layouts
import pytest

from dassl.data.datasets import DATASET_REGISTRY
from dassl.utils import InputError
from datasets.dtd import DescribableTextures
from datasets.imagenet import ImageNet
from datasets.oxford_pets import OxfordPets

# layout -> registered name, class names, items of train, val, test, and one test image with its label
LOADERS = {
    "caltech101": ("Caltech101", ["face", "airplane"], (10, 4, 6), None),
    "oxford_pets": (
        "OxfordPets",
        ["abyssinian", "american_bulldog", "egyptian_mau"],
        (12, 3, 9),
        ("images/Egyptian_Mau_7.jpg", 2),
    ),
    "stanford_cars": (
        "StanfordCars",
        ["2000 AM General Hummer SUV", "2012 Ram C/V Cargo Van Minivan"],
        (8, 2, 3),
        ("cars_test/00002.jpg", 1),
    ),
    "oxford_flowers": (
        "OxfordFlowers",
        ["pink primrose", "hard-leaved pocket orchid", "canterbury bells"],
        (5 + 5 + 6, 2 + 2 + 2, 3 + 3 + 3),
        None,
    ),
    "food101": ("Food101", ["apple_pie", "baby_back_ribs", "waffles"], (15, 6, 9), None),
    "fgvc_aircraft": ("FGVCAircraft", ["707-320", "Cessna 172", "F-16A/B"], (3, 3, 3), ("images/0002001.jpg", 1)),
    "sun397": (
        "SUN397",
        ["abbey", "outdoor apartment_building", "bar"],
        (12, 3, 9),
        ("SUN397/a/apartment_building/outdoor/sun_a5.jpg", 1),
    ),
    "dtd": ("DescribableTextures", ["banded", "zigzagged"], (10, 4, 6), None),
    "eurosat": ("EuroSAT", ["Annual Crop Land", "Highway or Road", "Sea or Lake"], (15, 6, 9), None),
    "ucf101": (
        "UCF101",
        ["Apply_Eye_Makeup", "Yo_Yo", "Handstand_Pushups"],
        (12, 3, 6),
        ("UCF-101-midframes/Handstand_Pushups/v_HandStandPushups_g01_c06.jpg", 2),
    ),
}
GENERATED = [layout for layout in LOADERS if layout != "fgvc_aircraft"]


def make(layout, root, cfg):
    getattr(layouts, layout)(root)
    cls = DATASET_REGISTRY.get(LOADERS[layout][0])
    return cls, cls(cfg)


def records(data):
    return [[(x.impath, x.label, x.classname) for x in part] for part in (data.train_x, data.val, data.test)]


@pytest.mark.parametrize("layout", LOADERS)
def test_the_published_layout_is_read(layout, tmp_path, make_cfg):
    _, names, counts, test_image = LOADERS[layout]
    cls, data = make(layout, tmp_path, make_cfg(tmp_path))
    assert data.classnames == names
    assert tuple(len(part) for part in (data.train_x, data.val, data.test)) == counts
    parts = records(data)
    assert all((tmp_path / path).is_file() for part in parts for path, _, _ in part)
    assert len({path for part in parts for path, _, _ in part}) == sum(counts), "no image is in two parts"
    if test_image:
        path, label = test_image
        assert (str(tmp_path / cls.dataset_dir / path), label, names[label]) in parts[2]
    shots = cls(make_cfg(tmp_path, shots=1, half="base"))
    half = (len(names) + 1) // 2
    assert shots.classnames == names[:half] and len(shots.train_x) == half


@pytest.mark.parametrize("layout", GENERATED)
def test_the_split_is_generated_once_and_then_read(layout, tmp_path, make_cfg, caplog):
    cls, first = make(layout, tmp_path, make_cfg(tmp_path))
    assert "a split is GENERATED: results are NOT comparable" in caplog.text
    split = json.loads((tmp_path / cls.dataset_dir / cls.split_file).read_text())
    assert split["note"] and [len(split[part]) for part in ("train", "val", "test")] == list(LOADERS[layout][2])
    for path in cls.split_needs:
        (tmp_path / cls.dataset_dir / path).unlink()
    assert records(cls(make_cfg(tmp_path, seed=3))) == records(first), "annotations are not needed any more"


@pytest.mark.parametrize("layout", LOADERS)
def test_names_of_an_official_split_win(layout, tmp_path, make_cfg):
    cls, data = make(layout, tmp_path, make_cfg(tmp_path))
    if layout == "fgvc_aircraft":
        assert cls.split_file == "", "it has the authors' lists only"
        return
    file = tmp_path / cls.dataset_dir / cls.split_file
    split = json.loads(file.read_text())
    for part in ("train", "val", "test"):
        split[part] = [[path, label, f"official {name}"] for path, label, name in split[part]]
    file.write_text(json.dumps({part: split[part] for part in ("train", "val", "test")}))
    assert cls(make_cfg(tmp_path)).classnames == [f"official {name}" for name in data.classnames]


@pytest.mark.parametrize("layout", LOADERS)
def test_what_is_missing_is_named_with_its_source(layout, tmp_path, make_cfg):
    cls = DATASET_REGISTRY.get(LOADERS[layout][0])
    with pytest.raises(InputError, match=rf"{cls.dataset_dir}, which does not exist; put the dataset there"):
        cls(make_cfg(tmp_path))
    getattr(layouts, layout)(tmp_path)
    folder = tmp_path / cls.dataset_dir
    for path, source in cls.split_needs.items():
        (folder / path).rename(folder / "away")
        with pytest.raises(InputError) as error:
            cls(make_cfg(tmp_path))
        assert str(folder / cls.split_file) in str(error.value) and path in str(error.value)
        assert source in str(error.value) and not (folder / cls.split_file).exists()
        (folder / "away").rename(folder / path)
    for path, source in cls.needs.items():
        (folder / path).rename(folder / "away")
        with pytest.raises(InputError, match="does not exist") as error:
            cls(make_cfg(tmp_path))
        assert "\n" not in str(error.value) and str(folder / path) in str(error.value)
        assert source in str(error.value)
        (folder / "away").rename(folder / path)


@pytest.mark.parametrize(
    ("layout", "file", "text", "sentence"),
    [
        ("oxford_pets", "annotations/test.txt", "Abyssinian_1 one 1 1", "is not 'name class species breed'"),
        ("stanford_cars", "devkit/cars_meta.mat", "<html>", "'class_names' cannot be read"),
        ("oxford_flowers", "imagelabels.mat", "", "'labels' cannot be read"),
        ("oxford_flowers", "cat_to_name.json", '{"1": "pink primrose"}', "no class '3'"),
        ("fgvc_aircraft", "variants.txt", "707-320", "variants.txt has no variant 'F-16A/B'"),
        ("fgvc_aircraft", "images_variant_val.txt", "77 707-320", "images/77.jpg is listed in images_variant_val.txt"),
        ("sun397", "Testing_01.txt", "/z/zoo/sun_z.jpg", "ClassName.txt has no class 'z/zoo'"),
        ("ucf101", "ucfTrainTestlist/classInd.txt", "ApplyEyeMakeup", "is not 'number action'"),
        ("ucf101", "ucfTrainTestlist/testlist01.txt", "Biking/v_Biking.avi", "no action 'Biking'"),
    ],
)
def test_damaged_annotations_are_one_sentence(layout, file, text, sentence, tmp_path, make_cfg):
    getattr(layouts, layout)(tmp_path)
    cls = DATASET_REGISTRY.get(LOADERS[layout][0])
    (tmp_path / cls.dataset_dir / file).write_text(text)
    with pytest.raises(InputError) as error:
        cls(make_cfg(tmp_path))
    assert sentence in str(error.value) and "\n" not in str(error.value)


def test_a_flower_split_groups_by_first_appearance(tmp_path, make_cfg):
    _, data = make("oxford_flowers", tmp_path, make_cfg(tmp_path))
    assert [x.label for x in data.val] == [2, 2, 0, 0, 1, 1]


def test_what_other_dataset_files_import_is_there(tmp_path, make_cfg, items):
    layouts.dtd(tmp_path)
    train, val, test = DescribableTextures.read_and_split_data(str(tmp_path / "dtd/images"), 0.6, 0.2, ["banded"], None)
    assert (len(train), len(val), len(test)) == (6, 2, 2) and train[0].classname == "zigzagged"
    OxfordPets.save_split(train, val, test, str(tmp_path / "s.json"), str(tmp_path / "dtd/images"))
    assert len(OxfordPets.read_split(str(tmp_path / "s.json"), str(tmp_path / "dtd/images"))[0]) == 6
    assert len(OxfordPets.split_trainval(items)[1]) == 6
    assert len(OxfordPets.subsample_classes(items, subsample="base")[0]) == 13
    layouts.classnames(tmp_path)
    assert ImageNet.read_classnames(str(tmp_path / "classnames.txt")) == layouts.CLASSNAMES


def test_the_images_may_be_read_of_without_being_there(tmp_path, make_cfg, monkeypatch):
    cls, data = make("dtd", tmp_path, make_cfg(tmp_path))
    shutil.rmtree(tmp_path / "dtd/images")
    with pytest.raises(InputError, match="image folder"):
        cls(make_cfg(tmp_path))
    monkeypatch.setenv("DASSL_SKIP_FILE_CHECK", "1")
    assert records(cls(make_cfg(tmp_path))) == records(data)
