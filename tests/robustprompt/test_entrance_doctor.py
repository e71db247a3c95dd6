"""`robustprompt doctor`: each fault is found, and nothing is left behind."""

from __future__ import annotations

import contextlib
import os
from collections import namedtuple

import filelock
import pytest
import torch

from robustprompt import doctor
from robustprompt.entrance import main

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ROBUSTPROMPT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_every_line_says_where_things_stand(cache, tmp_path, capsys):
    (tmp_path / "data" / "dtd").mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    code = main(["doctor", "--root", str(tmp_path / "data"), "--output", str(tmp_path / "out" / "deep")])
    *rows, empty, end = capsys.readouterr().out.splitlines()
    lines = {row[7:21].strip(): (row[:6].strip(), row[22:]) for row in rows}
    assert list(lines) == ["Python", "packages", "torch", "GPU", "embedded CLIP", "CLIP weights", "datasets", "cache",
                           "output", "disk, cache", "disk, output", "locks, cache", "locks, output"]  # fmt: skip
    assert {state for state, _ in lines.values()} <= {"ok", "note", "fault"}
    assert code == int(any(state == "fault" for state, _ in lines.values())) and not empty and end
    for name in ("Python", "torch", "embedded CLIP", "cache", "output", "locks, cache", "locks, output"):
        assert lines[name][0] == "ok", (name, lines[name])
    assert torch.__version__ in lines["torch"][1] and "dtd, dtd_ttc; their files" in lines["datasets"][1]
    assert sorted(tmp_path.rglob("*")) == before


def test_old_pythons_and_missing_packages(tmp_path, monkeypatch):
    assert doctor.python((3, 9)).state == "fault" and doctor.python((3, 10)).state == "ok"
    file = tmp_path / "requirements.txt"
    file.write_text("torch==0.1\nno-such-package==1.0  # why\n# Development.\nneither-this==1.0\n")
    found = doctor.packages(file)
    assert found.state == "fault" and "no-such-package: missing" in found.said and "neither" not in found.said
    file.write_text("torch==0.1\n")
    assert doctor.packages(file).state == "note" and "torch" in doctor.packages(file).said


def test_without_torch_the_rest_is_told_all_the_same(cache, tmp_path, monkeypatch):
    version = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda name: None if name == "torch" else version(name))
    text, code = doctor.examination(tmp_path, tmp_path)
    assert code == 1 and "fault  torch          torch is missing; run `bash scripts/setup.sh`" in text
    assert "note   datasets       it was not looked at" in text and "ok     cache " in text


def test_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    assert doctor.gpu().state == "note"
    monkeypatch.setattr(doctor.shutil, "which", lambda name: "/usr/bin/nvidia-smi")
    assert doctor.gpu().state == "fault" and "finds no GPU" in doctor.gpu().said
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert doctor.gpu().state == "note" and "hides" in doctor.gpu().said

    def broken():
        raise RuntimeError("driver too old")

    monkeypatch.setattr(torch.cuda, "is_available", broken)
    assert doctor.gpu().state == "fault" and "driver too old" in doctor.gpu().said


def test_weights(tmp_path):
    assert doctor.weights(tmp_path / "none").state == "note"
    (tmp_path / "ViT-B-16.pt").write_bytes(b"x")
    assert doctor.weights(tmp_path).state == "ok"
    assert doctor.embedded(tmp_path / "ViT-B-16.pt").state == "fault"  # a pointer of Git LFS is as small
    assert doctor.embedded(tmp_path / "none").state == "fault"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_takes_no_files(tmp_path):
    tmp_path.chmod(0o500)
    found = doctor.folder(tmp_path / "output", "--output-dir")
    tmp_path.chmod(0o700)
    assert found.state == "fault" and "Permission denied" in found.said


def test_a_folder_below_a_device_takes_no_files():
    """/proc takes no files, even from root."""
    assert doctor.folder(doctor.Path("/proc/output"), "--output-dir").state == "fault"


@pytest.mark.parametrize("free, state", [(1e8, "fault"), (5e9, "note"), (1e12, "ok")])
def test_disks(free, state, tmp_path, monkeypatch):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda place: Usage(2e12, 0, free))
    assert doctor.disk(tmp_path, "--output-dir").state == state


def test_locks_that_let_two_in_or_cannot_be_had(tmp_path, monkeypatch):
    assert doctor.locks(tmp_path).state == "ok"
    monkeypatch.setattr(filelock, "FileLock", lambda *args, **more: contextlib.nullcontext())
    assert doctor.locks(tmp_path).state == "fault"

    def none(*args, **more):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(filelock, "FileLock", none)
    assert doctor.locks(tmp_path).state == "note" and "Operation not supported" in doctor.locks(tmp_path).said
