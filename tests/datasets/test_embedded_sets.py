"""The embedded sets on disk: layout, counts, repeatability, and what happens beside other processes or folders."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from processes import Fork

from dassl.data.datasets import DATASET_REGISTRY
from dassl.utils import InputError
from datasets import embedded_sets
from datasets.embedded import make, sheet
from datasets.embedded.__main__ import main
from datasets.embedded.suite import SPECS, draw_split
from datasets.embedded.vocab import CLASSES, HELD_OUT, SHAPE_CLASSES

WRITTEN = ("digits", "letters", "shapes_sketch")  # real scans, rendered, test only


@pytest.fixture(scope="module")
def sets(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("embedded")
    assert main(["make", "--root", str(root), "--sets", *WRITTEN]) == 0
    return root


def records(root: Path, stem: str) -> dict[str, list]:
    return json.loads((root / stem / make.split_name(SPECS[stem])).read_text())


@pytest.mark.parametrize("stem", WRITTEN)
def test_layout_and_counts(sets, stem):
    spec, names, split = SPECS[stem], CLASSES[SPECS[stem].classes], records(sets, stem)
    for part in ("train", "val", "test"):
        counts = np.bincount([label for _, label, _ in split[part]], minlength=len(names))
        assert counts.tolist() == [getattr(spec, part)] * len(names)
        for path, label, name in split[part]:
            assert name == names[label] and path.startswith(name.replace(" ", "_") + "/")
    files = {str(p.relative_to(sets / stem / "images")) for p in (sets / stem / "images").rglob("*.png")}
    assert files == {path for part in split.values() for path, _, _ in part}
    with Image.open(sets / stem / "images" / sorted(files)[0]) as image:
        assert image.size == (48, 48) and image.mode == "RGB"


def test_every_set_is_large_enough():
    for stem, spec in SPECS.items():
        classes = len(CLASSES[spec.classes])
        assert spec.test * classes >= 1000, stem
        assert (spec.train >= 24 and spec.val >= 4) or (spec.train == spec.val == 0), stem


def test_splits_share_no_image(sets):
    seen = {}
    for part, rows in records(sets, "digits").items():
        for path, _, _ in rows:
            digest = hashlib.sha256((sets / "digits" / "images" / path).read_bytes()).hexdigest()
            assert seen.setdefault(digest, part) == part, path


@pytest.mark.parametrize("stem", SPECS)
def test_images_repeat_whatever_the_threads(stem):
    before = torch.get_num_threads()
    draws = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            draws.append(next(draw_split(stem, "test", batch=12)))
    finally:
        torch.set_num_threads(before)
    (a, labels_a), (b, labels_b) = draws
    assert a.dtype == torch.uint8 and a.shape[1:] == (48, 48, 3)
    assert torch.equal(a, b) and torch.equal(labels_a, labels_b)
    assert a.float().std(dim=(1, 2, 3)).min() > 2  # nothing is blank


def test_variants_show_other_images_of_the_same_classes():
    first = {stem: next(draw_split(stem, "test", batch=12)) for stem in SPECS if stem.startswith("shapes")}
    labels = [x[1].tolist() for x in first.values()]
    assert all(row == labels[0] for row in labels)
    pixels = {x[0].numpy().tobytes() for x in first.values()}
    assert len(pixels) == 4
    assert len(SHAPE_CLASSES) == len(set(SHAPE_CLASSES)) == 40
    assert sum(tuple(name.split()) in HELD_OUT for name in SHAPE_CLASSES) == 20


@pytest.mark.parametrize("name", [spec.name for spec in SPECS.values()])
def test_they_are_registered_with_their_generator(name):
    cls = DATASET_REGISTRY.get(name)
    assert cls is getattr(embedded_sets, name)
    spec = SPECS[cls.dataset_dir]
    assert (spec.name, cls.split_file) == (name, make.split_name(spec))
    assert cls.test_only == (spec.train == 0)


def test_datasets_load(sets, make_cfg):
    data = DATASET_REGISTRY.get("Letters")(make_cfg(sets, shots=16, half="new"))
    assert data.classnames == list(CLASSES["letters"][13:])
    assert (len(data.train_x), len(data.val), len(data.test)) == (16 * 13, 4 * 13, 40 * 13)
    sketch = DATASET_REGISTRY.get("ShapesSketch")(make_cfg(sets, shots=16, half="base"))
    assert len(sketch.train_x) == len(sketch.test) == 1200 and sketch.num_classes == 40


def test_made_on_first_use_and_kept(tmp_path, make_cfg):
    data = DATASET_REGISTRY.get("Digits")(make_cfg(tmp_path / "data", shots=1))
    assert len(data.test) == 1000 and len(data.train_x) == 10
    stamp = tmp_path / "data" / "digits" / make.STAMP
    before = stamp.stat().st_mtime_ns
    make.ensure("digits", stamp.parent)
    assert stamp.stat().st_mtime_ns == before


@pytest.mark.parametrize("root", ["dta", "nowhere/data", "file"])
def test_another_root_that_does_not_exist_is_not_made(tmp_path, make_cfg, root):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=f"is {tmp_path / root}, which does not exist; correct it, or create it"):
        DATASET_REGISTRY.get("Digits")(make_cfg(tmp_path / root, shots=1))
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_two_processes_at_once(tmp_path):
    folder = tmp_path / "digits"
    both = [Fork(lambda: make.ensure("digits", folder)) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert make.is_current(folder)
    assert sum(1 for _ in folder.rglob("*.png")) == 1720
    assert sorted(p.name for p in tmp_path.iterdir()) == [".digits.lock", "digits"]


def test_another_version_is_made_again(tmp_path, monkeypatch):
    calls = []

    def build(stem, folder, draws):
        calls.append(stem)
        folder.mkdir()
        (folder / make.STAMP).write_text(json.dumps({"version": make.GENERATOR_VERSION}))

    monkeypatch.setattr(make, "build", build)
    folder = tmp_path / "digits"
    folder.mkdir()
    (folder / make.STAMP).write_text('{"version": 0}')
    (folder / "left over").touch()
    make.ensure("digits", folder)
    make.ensure("digits", folder)
    assert calls == ["digits"] and not (folder / "left over").exists()


def test_other_draws_show_none_of_the_images_of_the_sets(sets, tmp_path, caplog):
    def digests(folder):
        return {hashlib.sha256(file.read_bytes()).hexdigest() for file in (folder / "images").rglob("*.png")}

    for stem in ("digits", "letters"):
        make.ensure(stem, tmp_path / stem, "calibration")
        assert make.is_current(tmp_path / stem) and make.is_current(tmp_path / stem, "calibration")
        assert not make.is_current(sets / stem, "calibration")
        test = {sets / stem / "images" / path for path, _, _ in records(sets, stem)["test"]}
        caplog.clear()
        make.ensure(stem, tmp_path / stem)
        assert f"holds the draws 'calibration' of the embedded set {stem!r}" in caplog.text
        tested = {hashlib.sha256(file.read_bytes()).hexdigest() for file in test}
        assert not tested & digests(tmp_path / stem)


def test_the_sheet_shows_a_row_for_each_set(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sheet, "SPECS", {stem: SPECS[stem] for stem in ("digits", "shapes_sketch")})
    assert not main(["sheet", str(tmp_path / "sets.png")])
    with Image.open(tmp_path / "sets.png") as picture:
        assert picture.size == (100 * sheet.COLUMNS, 250)
    for file, words in ((tmp_path / "sets.gif", "take .png"), (tmp_path / "none" / "sets.png", "There is no folder")):
        assert main(["sheet", str(file)]) == 2
        assert words in capsys.readouterr().err
    assert [each.name for each in tmp_path.iterdir()] == ["sets.png"]


def test_a_failed_build_leaves_nothing(tmp_path, monkeypatch):
    def build(stem, folder, draws):
        folder.mkdir()
        raise OSError("disk full")

    monkeypatch.setattr(make, "build", build)
    with pytest.raises(InputError, match=r"cannot be written .*disk full"):
        make.ensure("digits", tmp_path / "digits")
    assert [p.name for p in tmp_path.iterdir()] == [".digits.lock"]


def test_a_foreign_folder_is_left_alone(tmp_path, capsys):
    (tmp_path / "digits").mkdir()
    (tmp_path / "digits" / "mine.txt").write_text("keep")
    assert main(["make", "--root", str(tmp_path), "--sets", "digits"]) == 2
    assert "not made by this project's generator" in capsys.readouterr().err
    assert (tmp_path / "digits" / "mine.txt").read_text() == "keep"
