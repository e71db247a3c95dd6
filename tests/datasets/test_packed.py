"""CIFAR, STL-10, PCAM, Caltech-256, Country211 and tiny-ImageNet on small trees in their published layouts."""

from __future__ import annotations

import hashlib
import importlib.util
import pickle
from pathlib import Path

import numpy as np
import pytest
import torchvision.datasets as tv
from layouts import touch, write
from PIL import Image

from dassl.utils import InputError
from datasets.caltech256 import Caltech256, class_name
from datasets.cifar10 import CIFAR10, CIFAR100
from datasets.class_names import COUNTRIES, TINY_IMAGENET
from datasets.country211 import Country211
from datasets.pcam import PCAM
from datasets.stl10 import STL10
from datasets.tiny_imagenet import TinyImageNet

CIFAR_NAMES = ["airplane", "automobile", "bird"]


def md5(file: Path) -> str:
    return hashlib.md5(file.read_bytes()).hexdigest()


def cifar(folder: Path, monkeypatch, kind, key: str, train: int, test: int) -> np.ndarray:
    """Batches of random rows in planes R, G, B; torchvision's checksums are set to those of the files."""
    generator, hashes, pixels = np.random.default_rng(0), {}, []
    counts = {"test": test, "train": train} if key == "fine_labels" else {"data_batch_1": train, "test_batch": test}
    for name, count in counts.items():
        rows = generator.integers(0, 256, (count, 3072), dtype=np.uint8)
        pixels.append(rows)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(pickle.dumps({"data": rows, key: [i % 3 for i in range(count)]}))
        hashes[name] = md5(folder / name)
    meta = {"filename": "meta" if key == "fine_labels" else "batches.meta"}
    meta["key"] = "fine_label_names" if key == "fine_labels" else "label_names"
    (folder / meta["filename"]).write_bytes(pickle.dumps({meta["key"]: CIFAR_NAMES}))
    names = [n for n in counts if "test" not in n], [n for n in counts if "test" in n]
    for attribute, own in zip(("train_list", "test_list"), names, strict=True):
        monkeypatch.setattr(kind, attribute, [[n, hashes[n]] for n in own])
    monkeypatch.setattr(kind, "meta", meta | {"md5": md5(folder / meta["filename"])})
    return pixels[-1]


@pytest.mark.parametrize("beside", [False, True], ids=["in its folder", "as torchvision has it"])
def test_cifar10(tmp_path, make_cfg, monkeypatch, beside):
    home = tmp_path if beside else tmp_path / "cifar10"
    last = cifar(home / "cifar-10-batches-py", monkeypatch, tv.CIFAR10, "labels", 60, 6)
    data = CIFAR10(make_cfg(tmp_path))
    assert (len(data.train_x), len(data.val), len(data.test)) == (54, 6, 6) and data.classnames == CIFAR_NAMES
    assert [item.label for item in data.test] == [0, 1, 2, 0, 1, 2]
    picture = np.asarray(Image.open(data.test[4].impath))
    assert np.array_equal(picture, last[4].reshape(3, 32, 32).transpose(1, 2, 0))
    assert not {x.impath for x in data.train_x} & {x.impath for x in data.val}
    assert {x.label for x in data.val} == {0, 1, 2}
    again = CIFAR10(make_cfg(tmp_path))  # from the pictures alone
    assert [x.impath for x in again.train_x] == [x.impath for x in data.train_x]
    few = CIFAR10(make_cfg(tmp_path, shots=2, half="new"))
    assert len(few.train_x) == 2 and few.classnames == ["bird"]


def test_cifar100_has_its_fine_labels(tmp_path, make_cfg, monkeypatch):
    cifar(tmp_path / "cifar100" / "cifar-100-python", monkeypatch, tv.CIFAR100, "fine_labels", 30, 3)
    data = CIFAR100(make_cfg(tmp_path))
    assert (len(data.train_x), len(data.val), len(data.test)) == (27, 3, 3) and data.classnames == CIFAR_NAMES


def test_a_damaged_batch_is_not_unpickled(tmp_path, make_cfg, monkeypatch):
    folder = tmp_path / "cifar10" / "cifar-10-batches-py"
    cifar(folder, monkeypatch, tv.CIFAR10, "labels", 60, 6)
    (folder / "data_batch_1").write_bytes(b"cos\nsystem\n")
    with pytest.raises(InputError, match=r"CIFAR10: .*cannot be read .*corrupted.*; fetch it again"):
        CIFAR10(make_cfg(tmp_path))
    assert not list((tmp_path / "cifar10" / "images").iterdir())
    with pytest.raises(InputError, match="neither the pictures"):
        (tmp_path / "stl10").mkdir()
        STL10(make_cfg(tmp_path))


def test_stl10_is_column_major_and_counts_from_one(tmp_path, make_cfg, monkeypatch):
    folder = tmp_path / "stl10" / "stl10_binary"
    folder.mkdir(parents=True)
    generator, lists = np.random.default_rng(0), {}
    for part, count in (("train", 30), ("test", 3)):
        pictures = generator.integers(0, 256, (count, 96, 96, 3), dtype=np.uint8)
        pictures.transpose(0, 3, 2, 1).tofile(folder / f"{part}_X.bin")  # planes, columns, rows
        np.array([1 + i % 3 for i in range(count)], np.uint8).tofile(folder / f"{part}_y.bin")
        lists[part] = [[f"{part}_{x}.bin", md5(folder / f"{part}_{x}.bin")] for x in "Xy"]
    write(folder / "class_names.txt", ["airplane", "bird", "car"])
    monkeypatch.setattr(tv.STL10, "train_list", lists["train"])
    monkeypatch.setattr(tv.STL10, "test_list", lists["test"])
    data = STL10(make_cfg(tmp_path))
    assert (len(data.train_x), len(data.val), len(data.test)) == (27, 3, 3)
    assert data.classnames == ["airplane", "bird", "car"] and [x.label for x in data.test] == [0, 1, 2]
    assert np.array_equal(np.asarray(Image.open(data.test[2].impath)), pictures[2])


def test_pcam(tmp_path, make_cfg):
    (tmp_path / "pcam").mkdir()
    if importlib.util.find_spec("h5py") is None:
        with pytest.raises(InputError, match="pip install h5py"):
            PCAM(make_cfg(tmp_path))
        return
    import h5py

    generator = np.random.default_rng(0)
    for part, count in (("train", 8), ("valid", 4), ("test", 4)):
        pictures = generator.integers(0, 256, (count, 96, 96, 3), dtype=np.uint8)
        for what, values in (("x", pictures), ("y", (np.arange(count) % 2).reshape(count, 1, 1, 1))):
            with h5py.File(tmp_path / "pcam" / f"camelyonpatch_level_2_split_{part}_{what}.h5", "w") as file:
                file[what] = values
    data = PCAM(make_cfg(tmp_path))
    assert (len(data.train_x), len(data.val), len(data.test)) == (8, 4, 4)
    assert data.classnames[1].endswith("tumor tissue") and [x.label for x in data.test] == [0, 1, 0, 1]
    assert np.array_equal(np.asarray(Image.open(data.test[3].impath)), pictures[3])


def test_caltech256(tmp_path, make_cfg):
    base = tmp_path / "caltech256/256_ObjectCategories"
    for number, name in ((1, "ak47"), (3, "backpack-101"), (26, "cake"), (27, "calculator"), (257, "clutter")):
        touch(*(base / f"{number:03d}.{name}/{number:03d}_{i:04d}.jpg" for i in (1, 2)))
    touch(base / "003.backpack-101/RENAME2")
    data = Caltech256(make_cfg(tmp_path))
    assert len(data.test) == len(data.train_x) == 10
    assert data.classnames == ["ak47", "backpack", "cake", "calculator", "clutter"]
    assert class_name("046.computer-monitor") == "computer monitor" and class_name("253.faces-easy-101") == "faces easy"
    touch(base / "notes/1.jpg")
    with pytest.raises(InputError, match="no folder NNN.name"):
        Caltech256(make_cfg(tmp_path))


def test_country211(tmp_path, make_cfg):
    codes = [f"{a}{b}" for a in "ABCDEFGHI" for b in "ABCDEFGHIJKLMNOPQRSTUVWX"][: len(COUNTRIES)]
    for part, count in (("train", 2), ("valid", 1), ("test", 1)):
        touch(*(tmp_path / f"country211/{part}/{code}/{i}.jpg" for code in codes for i in range(count)))
    data = Country211(make_cfg(tmp_path))
    assert (len(data.train_x), len(data.val), len(data.test)) == (422, 211, 211)
    assert data.classnames[:2] == ["Andorra", "United Arab Emirates"] and len(set(COUNTRIES)) == 211
    touch(tmp_path / "country211/test/ZZ/0.jpg")
    with pytest.raises(InputError, match="212 folders"):
        Country211(make_cfg(tmp_path))


def test_tiny_imagenet(tmp_path, make_cfg):
    base, synsets = tmp_path / "tiny-imagenet-200", sorted(TINY_IMAGENET)[:3]
    touch(*(base / f"train/{s}/images/{s}_{i}.JPEG" for s in synsets for i in range(10)))
    touch(*(base / f"val/images/val_{i}.JPEG" for i in range(6)))
    write(base / "wnids.txt", synsets[::-1])  # labels follow the sorted synsets
    write(base / "val/val_annotations.txt", [f"val_{i}.JPEG\t{synsets[i % 3]}\t0\t32\t44\t62" for i in range(6)])
    data = TinyImageNet(make_cfg(tmp_path))
    assert (len(data.train_x), len(data.val), len(data.test)) == (27, 3, 6) and len(TINY_IMAGENET) == 200
    assert data.classnames == [TINY_IMAGENET[s] for s in synsets] and [x.label for x in data.test] == [0, 1, 2, 0, 1, 2]
    write(base / "val/val_annotations.txt", ["val_0.JPEG\tn99999999\t0\t32\t44\t62"])
    with pytest.raises(InputError, match="n99999999"):
        TinyImageNet(make_cfg(tmp_path))


@pytest.mark.parametrize("name", ["airplane", "000_", "x_airplane", "notes.txt"])
def test_what_is_no_class_folder_is_named(tmp_path, monkeypatch, make_cfg, name):
    home = tmp_path / "cifar10"
    cifar(home / "cifar-10-batches-py", monkeypatch, tv.CIFAR10, "labels", 60, 6)
    CIFAR10(make_cfg(tmp_path))
    (home / "images" / "test" / ".DS_Store").touch()
    CIFAR10(make_cfg(tmp_path))
    wrong = home / "images" / "test" / name
    wrong.touch() if "." in name else wrong.mkdir()
    with pytest.raises(InputError, match=rf"CIFAR10: {wrong} is no class folder; .* 000_NAME"):
        CIFAR10(make_cfg(tmp_path))


def test_a_part_without_pictures(tmp_path, make_cfg):
    for part in ("train", "test"):
        (tmp_path / "cifar10" / "images" / part).mkdir(parents=True)
    with pytest.raises(InputError, match=r"CIFAR10: .*train holds no pictures"):
        CIFAR10(make_cfg(tmp_path))
