"""A tiny dataset on disk: 5 classes, tiny PNG files, a split file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image
from yacs.config import CfgNode

from dassl.data.datasets import Datum
from datasets.base import SplitDataset

NAMES = ["face", "leopard", "accordion", "sea_horse", "yin yang"]
COUNTS = {"train": [6, 5, 3, 6, 6], "val": [5, 2, 1, 5, 5], "test": [4, 4, 4, 4, 4]}


@pytest.fixture(scope="session")
def image_file(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("one") / "image.png"
    Image.new("RGB", (4, 4)).save(path)
    return str(path)


@pytest.fixture
def items(image_file):
    """The 30 items of the published test vectors: ten 2s, ten 0s, three 1s, seven 5s; `domain` holds the number."""
    labels = [2] * 10 + [0] * 10 + [1] * 3 + [5] * 7
    return [Datum(image_file, label, domain=i, classname=f"class {label}") for i, label in enumerate(labels)]


class Toy(SplitDataset):
    dataset_dir = "toy"
    image_dir = "images"
    split_file = "split_zhou_Toy.json"
    renames = {"Faces": "face"}
    ignored = ("junk",)


@pytest.fixture
def toy():
    return Toy


@pytest.fixture
def root(tmp_path) -> Path:
    """A data root that holds the toy dataset."""
    split = {}
    for part, counts in COUNTS.items():
        split[part] = []
        for label, (name, count) in enumerate(zip(NAMES, counts, strict=True)):
            for i in range(count):
                rel = f"c{label}/{part}_{i}.png"
                path = tmp_path / "toy" / "images" / rel
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(b"not opened here")
                split[part].append([rel, label, name])
    (tmp_path / "toy" / "split_zhou_Toy.json").write_text(json.dumps(split))
    return tmp_path


@pytest.fixture
def make_cfg():
    def make(root, shots=-1, seed=1, half="all"):
        return CfgNode(
            {
                "DATASET": {"ROOT": str(root), "NUM_SHOTS": shots, "SUBSAMPLE_CLASSES": half},
                "SEED": seed,
                "VERBOSE": False,
            }
        )

    return make
