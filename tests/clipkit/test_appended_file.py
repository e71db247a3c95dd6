"""Records of features that several processes append: whole ones are read, others made again; and the cache's bound."""

from __future__ import annotations

import errno
import logging
import multiprocessing
import os

import pytest
import torch

from clipkit import FeatureBank, InputError
from clipkit.__main__ import run
from clipkit.appended_file import AppendedFile
from clipkit.cache_room import cached_files, limit

KEY = {"kind": "features of training crops", "seed": 1}


def features(number: int) -> dict[str, torch.Tensor]:
    return {"position": torch.arange(3, dtype=torch.int32), "feature": torch.full((3, 5), number, dtype=torch.float16)}


def filled(path, *names: str) -> AppendedFile:
    file = AppendedFile(path, KEY)
    for name in names:
        append(file, name)
    return file


def append(file: AppendedFile, name: str) -> None:
    with file.locked():
        file.append(name, features(int(name)))


def numbers(file: AppendedFile, name: str) -> list[int]:
    return [int(record["feature"][0, 0]) for record in file.read(name)]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "bank" / "crops.features"


def test_records_are_found_by_name_also_by_a_reader_that_was_there_before(path):
    reader = AppendedFile(path, KEY)
    assert reader.read("1") == []
    writer = filled(path, "1", "2")
    assert (numbers(reader, "1"), numbers(reader, "2"), numbers(reader, "3")) == ([1], [2], [])
    append(writer, "3")
    append(writer, "1")
    assert (numbers(reader, "3"), numbers(reader, "1")) == ([3], [1, 1])
    found = reader.read("2")[0]
    assert found["feature"].dtype == torch.float16 and torch.equal(found["feature"], features(2)["feature"])
    os.umask(mask := os.umask(0))
    assert path.stat().st_mode & 0o777 == 0o666 & ~mask  # colleagues may read it


@pytest.mark.parametrize("cut", [1, 50, 180, 300])
def test_what_a_killed_writer_left_is_not_seen_and_makes_room(path, cut):
    filled(path, "1", "2")
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    reader = AppendedFile(path, KEY)
    assert (numbers(reader, "1"), numbers(reader, "2")) == (([1], []) if cut < 260 else ([], []))
    for name in ("1", "2"):
        if not numbers(reader, name):
            append(reader, name)
    assert path.read_bytes() == whole


def test_a_damaged_record_counts_as_not_there(path, caplog):
    filled(path, "1", "2")
    data = bytearray(path.read_bytes())
    data[data.index(b'{"name": "2"') - 9] ^= 1  # in the first record's tensors
    path.write_bytes(data)
    reader = AppendedFile(path, KEY)
    with caplog.at_level(logging.WARNING, "clipkit"):
        assert (numbers(reader, "1"), numbers(reader, "2")) == ([], [2])
    assert "is damaged" in caplog.text
    append(reader, "1")
    assert (numbers(reader, "1"), numbers(AppendedFile(path, KEY), "1")) == ([1], [1])


@pytest.mark.parametrize("content", [b"", b"something else\n" * 40, b"\0" * 500])
def test_a_file_that_is_none_of_ours_is_begun_anew(path, content):
    path.parent.mkdir()
    path.write_bytes(content)
    file = AppendedFile(path, KEY)
    assert file.read("1") == []
    append(file, "1")
    assert numbers(AppendedFile(path, KEY), "1") == [1]
    assert AppendedFile(path, KEY | {"seed": 2}).read("1") == []  # nor is a file of another key read


def test_a_full_disk_keeps_nothing_and_spoils_nothing(path, caplog, monkeypatch):
    file = filled(path, "1")
    before = path.read_bytes()

    class Full:
        def __init__(self, real):
            self.real = real

        def __getattr__(self, name):
            return getattr(self.real, name)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.real.close()

        def write(self, data):
            self.real.write(data[:100])
            self.real.flush()
            raise OSError(errno.ENOSPC, "No space left on device")

    import builtins

    real = builtins.open
    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING, "clipkit"):
        patch.setattr(builtins, "open", lambda *a, **k: Full(real(*a, **k)))
        append(file, "2")
        append(file, "3")
    assert caplog.text.count("No space left") == 1  # said once
    assert path.read_bytes() == before
    append(file, "2")
    assert (numbers(file, "1"), numbers(file, "2")) == ([1], [2])


def test_a_file_that_was_removed_is_begun_anew(path):
    file = filled(path, "1")
    assert numbers(file, "1") == [1]
    path.unlink()
    assert numbers(file, "1") == []
    append(file, "2")
    assert (numbers(file, "1"), numbers(file, "2")) == ([], [2])


def test_a_folder_that_takes_nothing(tmp_path, caplog):
    (tmp_path / "file").touch()
    file = AppendedFile(tmp_path / "file" / "x.features", KEY)
    append(file, "1")
    append(file, "2")
    assert file.read("1") == [] and len(caplog.records) >= 1


def _append_ten(path, first):
    file = AppendedFile(path, KEY)
    for i in range(10):
        append(file, str(first + i))


def test_two_processes_append(path):
    context = multiprocessing.get_context("fork")
    jobs = [context.Process(target=_append_ten, args=(path, first)) for first in (0, 10)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    file = AppendedFile(path, KEY)
    assert [numbers(file, str(i)) for i in range(20)] == [[i] for i in range(20)]


# ------------------------------------------------------------------ the bound


def aged(path, seconds: int):
    os.utime(path, (10**9 + seconds,) * 2)
    return path


def test_the_longest_unused_goes_first(tmp_path, monkeypatch):
    for i, name in enumerate("abc"):
        aged(filled(tmp_path / f"{name}.features", "1").path, i)
    size = (tmp_path / "a.features").stat().st_size
    assert AppendedFile(tmp_path / "a.features", KEY).read("1")  # used now: b is the oldest
    monkeypatch.setenv("ROBUSTPROMPT_CACHE_GB", str(3.5 * size / 1e9))
    filled(tmp_path / "d.features", "1")
    assert sorted(path.stem for _, _, path in cached_files(tmp_path)) == ["a", "c", "d"]
    monkeypatch.setenv("ROBUSTPROMPT_CACHE_GB", str(1.5 * size / 1e9))
    FeatureBank(tmp_path).get({"x": 1}, lambda: {"f": torch.zeros(1)})
    kept = sorted(path.suffix for _, _, path in cached_files(tmp_path))
    assert ".safetensors" in kept and len(kept) <= 2


def test_a_file_that_may_not_grow_stays_as_it_is(tmp_path, monkeypatch, caplog):
    file = filled(tmp_path / "a.features", "1")
    monkeypatch.setenv("ROBUSTPROMPT_CACHE_GB", str(1.5 * file.path.stat().st_size / 1e9))
    append(file, "2")
    append(file, "3")
    assert numbers(file, "1") == [1] and numbers(file, "2") == [] and caplog.text.count("ROBUSTPROMPT_CACHE_GB") == 1
    monkeypatch.setenv("ROBUSTPROMPT_CACHE_GB", "0")
    bank = FeatureBank(tmp_path / "other")
    assert bank.get({"x": 1}, lambda: {"f": torch.zeros(1)})["f"].tolist() == [0]
    assert not cached_files(bank.root)


@pytest.mark.parametrize("value", ["much", "-1", "nan", "inf"])
def test_a_bound_that_is_no_number(monkeypatch, value):
    monkeypatch.setenv("ROBUSTPROMPT_CACHE_GB", value)
    with pytest.raises(InputError, match="number of gigabytes"):
        limit()


# ------------------------------------------------------------------ the command


def test_the_command_shows_verifies_and_clears(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ROBUSTPROMPT_CACHE", str(tmp_path))
    assert run(["cache"]) == 0 and "holds no cached features" in capsys.readouterr().out
    filled(tmp_path / "a.features", "1", "2")
    FeatureBank(tmp_path).get({"kind": "features of texts"}, lambda: {"f": torch.zeros(9)})
    assert run(["cache", "show"]) == 0
    shown = capsys.readouterr().out
    assert all(text in shown for text in ("features of training crops", "features of texts", "20,000.0 MB"))
    assert run(["cache", "verify"]) == 0 and "2 files are whole" in capsys.readouterr().out
    data = (tmp_path / "a.features").read_bytes()
    (tmp_path / "a.features").write_bytes(data[:-7])
    assert run(["cache", "verify"]) == 2 and "a.features" in capsys.readouterr().err
    (tmp_path / "a.features").write_bytes(data[:-7] + b"1234567")
    assert run(["cache", "verify"]) == 2
    capsys.readouterr()
    assert run(["cache", "clear"]) == 0 and "2 files removed" in capsys.readouterr().out
    assert not cached_files(tmp_path)
