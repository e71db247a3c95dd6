"""A list of images is known by what the files hold, and read once."""

from __future__ import annotations

import os
import shutil
from collections import Counter

import pytest

from clipkit import InputError, image_key, image_list_key

OLD = (10**9, 10**9)  # the one time stamp that an archive leaves on all its files


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two folders of files of one size and one time; they count as old enough to be kept."""
    monkeypatch.setattr(image_key, "RACY_SECONDS", -1)
    for name in ("zero", "one"):
        (tmp_path / name).mkdir()
        for i in range(3):
            write(tmp_path / name / f"{i}.bmp", f"{name:4} {i}")
    return tmp_path


@pytest.fixture
def read(monkeypatch):
    """How often each file was read."""
    counts: Counter = Counter()
    digest = image_key._digest
    monkeypatch.setattr(image_key, "_digest", lambda path: counts.update([path]) or digest(path))
    return counts


def write(path, text):
    path.write_text(text)
    os.utime(path, OLD)


def images(folder):
    return sorted(folder.glob("*/*.bmp"))


def key(folder):
    return image_list_key(images(folder), folder / "bank")


def exchange_folders(folder):
    (folder / "zero").rename(folder / "x")
    (folder / "one").rename(folder / "zero")
    (folder / "x").rename(folder / "one")


def exchange_files(folder):
    for i in range(3):
        zero, one = (folder / name / f"{i}.bmp" for name in ("zero", "one"))
        zero.rename(folder / "x"), one.rename(zero), (folder / "x").rename(one)


def overwrite(folder):
    with open(folder / "zero/1.bmp", "r+") as file:
        file.write("0")
    os.utime(folder / "zero/1.bmp", OLD)


def replace_by_a_copy(folder):
    shutil.copy2(folder / "one/1.bmp", folder / "zero/1.bmp")


def link_elsewhere(folder):
    (folder / "zero/1.bmp").unlink()
    (folder / "zero/1.bmp").symlink_to(folder / "one/1.bmp")


@pytest.mark.parametrize("change", [exchange_folders, exchange_files, overwrite, replace_by_a_copy, link_elsewhere])
def test_other_contents_have_another_key_whatever_size_and_time_say(change, folder):
    before, sizes = key(folder), [(p.stat().st_size, p.stat().st_mtime) for p in images(folder)]
    change(folder)
    assert [(p.stat().st_size, p.stat().st_mtime) for p in images(folder)] == sizes
    assert key(folder) != before


def test_each_file_is_read_once(folder, read):
    first = key(folder)
    assert key(folder) == key(folder) == first and set(read.values()) == {1} and len(read) == 6
    assert image_list_key(images(folder)[::-1], folder / "bank") != first
    (kept,) = (file for file in (folder / "bank").iterdir() if file.read_text() == first)
    kept.write_text(first[:9])
    assert key(folder) == first and sum(read.values()) == 18, "a damaged note is made anew"


def test_the_same_images_elsewhere_have_the_same_key(folder, read):
    before = key(folder)
    shutil.copytree(folder, folder.parent / "copy", ignore=shutil.ignore_patterns("bank"))
    assert key(folder.parent / "copy") == before and sum(read.values()) == 12
    shutil.rmtree(folder.parent / "copy")


def test_what_was_changed_just_now_is_read_again(folder, read, monkeypatch):
    monkeypatch.setattr(image_key, "RACY_SECONDS", 3600)
    assert key(folder) == key(folder) and set(read.values()) == {2}


def test_a_folder_that_cannot_be_written_is_done_without(folder):
    (folder / "file").write_text("")
    assert image_list_key(images(folder), folder / "file" / "bank") == key(folder)


@pytest.mark.parametrize("name", ["c.jpg", "zero", "a\0b"])
def test_what_cannot_be_read_is_named(name, folder):
    with pytest.raises(InputError, match="cannot be read"):
        image_list_key([*images(folder), f"{folder}/{name}"], folder / "bank")
