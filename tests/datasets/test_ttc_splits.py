"""Other splits of six of CoOp's sets, on trees in the publishers' layout: which images, labels and names."""

from __future__ import annotations

import json
from pathlib import Path

import layouts
import numpy as np
import pytest
from scipy.io import savemat

from dassl.data.datasets import DATASET_REGISTRY
from dassl.utils import InputError
from datasets.templates import custom_template


def built(name: str, make_cfg, root: Path):
    return DATASET_REGISTRY.get(name)(make_cfg(root))


def images(data) -> list[tuple[str, int, str]]:
    return [(Path(x.impath).name, x.label, x.classname) for x in data.test]


def test_caltech101_has_both_kinds_of_faces_and_all_images(tmp_path, make_cfg):
    base = tmp_path / "caltech-101/101_ObjectCategories"
    layouts.class_folders(base, ["BACKGROUND_Google", "Faces", "Faces_easy", "Leopards", "sea_horse"], 3)
    data = built("Caltech101TTC", make_cfg, tmp_path)
    assert data.classnames == ["off-center face", "centered face", "leopard", "sea horse"]
    assert len(data.test) == 12 and {x.label for x in data.test} == {0, 1, 2, 3}


def test_eurosat_has_all_images_and_coops_names(tmp_path, make_cfg):
    layouts.class_folders(tmp_path / "eurosat/2750", ["AnnualCrop", "SeaLake"], 4)
    data = built("EuroSATTTC", make_cfg, tmp_path)
    assert data.classnames == ["Annual Crop Land", "Sea or Lake"] and len(data.test) == 8


@pytest.mark.parametrize("inside", [True, False])
def test_sun397_has_the_scenes_of_its_list(tmp_path, make_cfg, inside):
    layouts.sun397(tmp_path)
    if inside:
        (tmp_path / "sun397/ClassName.txt").rename(tmp_path / "sun397/SUN397/ClassName.txt")
    data = built("SUN397TTC", make_cfg, tmp_path)
    assert data.classnames == ["abbey", "outdoor apartment_building", "bar"] and len(data.test) == 24
    (tmp_path / "sun397" / ("SUN397/ClassName.txt" if inside else "ClassName.txt")).unlink()
    with pytest.raises(InputError, match="ClassName.txt does not exist"):
        built("SUN397TTC", make_cfg, tmp_path)


def test_food101_has_the_publishers_test_images(tmp_path, make_cfg):
    base = tmp_path / "food-101"
    layouts.class_folders(base / "images", ["apple_pie", "waffles"], 4)
    names = sorted(p.stem for p in (base / "images/apple_pie").iterdir())
    layouts.write(base / "meta/test.txt", [f"waffles/{names[3]}", f"apple_pie/{names[0]}"])
    data = built("Food101TTC", make_cfg, tmp_path)
    assert images(data) == [(f"{names[3]}.jpg", 1, "waffles"), (f"{names[0]}.jpg", 0, "apple pie")]
    layouts.write(base / "meta/test.txt", ["pizza/1"])
    with pytest.raises(InputError, match="pizza"):
        built("Food101TTC", make_cfg, tmp_path)


def test_textures_has_the_first_partition(tmp_path, make_cfg):
    base = tmp_path / "dtd"
    layouts.class_folders(base / "images", ["banded", "zigzagged"], 3)
    names = sorted(p.name for p in (base / "images/banded").iterdir())
    layouts.write(base / "labels/test1.txt", [f"banded/{names[1]}"])
    assert images(built("DescribableTexturesTTC", make_cfg, tmp_path)) == [(names[1], 0, "banded")]
    (base / "labels/test1.txt").unlink()
    with pytest.raises(InputError, match="test1.txt"):
        built("DescribableTexturesTTC", make_cfg, tmp_path)


def test_flowers_has_the_official_test_numbers(tmp_path, make_cfg):
    layouts.oxford_flowers(tmp_path)
    savemat(tmp_path / "oxford_flowers/setid.mat", {"tstid": np.array([[31, 1, 12]])})
    data = built("OxfordFlowersTTC", make_cfg, tmp_path)
    assert images(data) == [
        ("image_00031.jpg", 1, "hard-leaved pocket orchid"),
        ("image_00001.jpg", 2, "canterbury bells"),
        ("image_00012.jpg", 0, "pink primrose"),
    ]
    names = json.loads((tmp_path / "oxford_flowers/cat_to_name.json").read_text())
    (tmp_path / "oxford_flowers/cat_to_name.json").write_text(json.dumps({k: v for k, v in names.items() if k != "3"}))
    with pytest.raises(InputError, match="cat_to_name.json"):
        built("OxfordFlowersTTC", make_cfg, tmp_path)


def test_templates_are_those_of_the_same_images():
    assert custom_template("OxfordFlowersTTC") == "a photo of a {}, a type of flower."
    assert custom_template("EuroSATTTC") == "a centered satellite photo of {}."
