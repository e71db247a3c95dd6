import errno
import logging
import multiprocessing
import os
import shutil

import pytest
import safetensors.torch
import torch

from clipkit import FeatureBank, InputError

KEY = {"backbone": "ViT-B/16", "split": "test", "sizes": [224, 224]}


class Counted:
    def __init__(self):
        self.calls = 0

    def __call__(self):
        self.calls += 1
        return {"features": torch.arange(6.0).view(2, 3).T, "labels": torch.tensor([1, 2, self.calls])}


@pytest.fixture
def compute():
    return Counted()


def test_miss_then_hit(tmp_path, compute):
    first = FeatureBank(tmp_path).get(KEY, compute)
    second = FeatureBank(tmp_path).get(dict(reversed(KEY.items())), compute)
    assert compute.calls == 1
    assert first.keys() == second.keys() == {"features", "labels"}
    assert all(torch.equal(first[name], second[name]) for name in first)
    FeatureBank(tmp_path).get({**KEY, "split": "val"}, compute)
    assert compute.calls == 2
    assert {path.suffix for path in tmp_path.iterdir()} <= {".safetensors", ".lock"}
    os.umask(mask := os.umask(0))
    assert FeatureBank(tmp_path).path(KEY).stat().st_mode & 0o777 == 0o666 & ~mask  # colleagues may read it


@pytest.mark.parametrize("keep", [0, 5, 100])
def test_damaged_file_is_rebuilt(tmp_path, compute, caplog, keep):
    bank = FeatureBank(tmp_path)
    bank.get(KEY, compute)
    path = bank.path(KEY)
    path.write_bytes(path.read_bytes()[:keep])
    with caplog.at_level(logging.WARNING, "clipkit"):
        assert bank.get(KEY, compute)["labels"][2] == 2
    assert "rebuilt" in caplog.text
    assert bank.get(KEY, compute)["labels"][2] == 2
    assert compute.calls == 2


@pytest.mark.parametrize("place", [-1, -9, -30])
def test_a_changed_number_is_noticed(tmp_path, compute, caplog, place):
    bank = FeatureBank(tmp_path)
    bank.get(KEY, compute)
    data = bytearray(bank.path(KEY).read_bytes())
    data[place] ^= 1
    bank.path(KEY).write_bytes(data)
    assert bank.get(KEY, compute)["labels"].tolist() == [1, 2, 2]
    assert "its checksum is wrong" in caplog.text
    assert bank.get(KEY, compute)["labels"][2] == 2 and compute.calls == 2


def test_tensors_of_all_kinds_have_a_checksum(tmp_path):
    kinds = (torch.float16, torch.bfloat16, torch.int64, torch.bool)
    tensors = {str(kind): torch.ones(3, 2).to(kind) for kind in kinds} | {
        "one": torch.tensor(3.0),
        "none": torch.empty(0, 4),
    }
    FeatureBank(tmp_path).get(KEY, lambda: tensors)
    found = FeatureBank(tmp_path).get(KEY, lambda: pytest.fail("computed again"))
    assert all(torch.equal(found[name], tensors[name]) for name in tensors)


def test_file_of_another_key_is_rebuilt(tmp_path, compute, caplog):
    bank, other = FeatureBank(tmp_path), {**KEY, "split": "val"}
    bank.get(KEY, compute)
    shutil.copy(bank.path(KEY), bank.path(other))
    assert bank.get(other, compute)["labels"][2] == 2
    assert "another key" in caplog.text
    assert bank.get(KEY, compute)["labels"][2] == 1


def _ask(root, barrier, log):
    def compute():
        with open(log, "a") as file:
            file.write("computed\n")
        barrier_wait.wait(0.5)  # long enough for the other to come by
        return {"x": torch.ones(3)}

    barrier_wait = multiprocessing.get_context("fork").Event()
    barrier.wait()
    assert FeatureBank(root).get(KEY, compute)["x"].tolist() == [1, 1, 1]


def test_two_processes_compute_once(tmp_path):
    context = multiprocessing.get_context("fork")
    barrier, log = context.Barrier(2), tmp_path / "log"
    jobs = [context.Process(target=_ask, args=(tmp_path / "bank", barrier, log)) for _ in range(2)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join(30)
    assert [job.exitcode for job in jobs] == [0, 0]
    assert log.read_text() == "computed\n"


def test_disk_full(tmp_path, compute, monkeypatch, caplog):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    assert FeatureBank(tmp_path).get(KEY, compute)["labels"][2] == 1
    assert "No space left" in caplog.text
    assert not list(tmp_path.glob("*.safetensors")) and not list(tmp_path.glob(".*.tmp"))


def test_folder_that_cannot_be_made(tmp_path, compute, caplog):
    (tmp_path / "file").write_text("")
    assert FeatureBank(tmp_path / "file" / "bank").get(KEY, compute)["labels"][2] == 1
    assert "cannot be kept" in caplog.text


def test_errors_of_compute_come_through(tmp_path):
    def fail():
        raise FileNotFoundError("image.jpg")

    bank = FeatureBank(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"image\.jpg"):
        bank.get(KEY, fail)
    assert bank.get(KEY, Counted())["labels"][2] == 1  # the lock was released


def test_default_root(tmp_path, monkeypatch):
    monkeypatch.setenv("ROBUSTPROMPT_CACHE", str(tmp_path / "here"))
    assert FeatureBank().root == tmp_path / "here"
    monkeypatch.delenv("ROBUSTPROMPT_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert FeatureBank().root == tmp_path / ".cache" / "robustprompt"


def test_what_is_read_is_as_aligned_as_what_was_computed(tmp_path, compute):
    """Unaligned rows are summed in another order: a warm bank would differ from a cold one in the last bits."""
    for length in range(9):  # the header's length decides where the data begin
        key = KEY | {"note": "x" * length}
        FeatureBank(tmp_path).get(key, compute)
        found = FeatureBank(tmp_path).get(key, compute)
        assert all(value.data_ptr() % 64 == 0 for value in found.values())


def test_a_bank_that_cannot_be_filled_is_said_by_commands_that_fill_it(tmp_path):
    (tmp_path / "file").touch()
    for root in (tmp_path / "file", tmp_path / "file" / "x", "/proc/x"):
        with pytest.raises(InputError, match="ROBUSTPROMPT_CACHE"):
            FeatureBank(root).check_writable()
    FeatureBank(tmp_path / "new" / "folder").check_writable()
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
