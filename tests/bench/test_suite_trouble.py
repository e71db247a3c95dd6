"""What can happen to a suite's files, each named in a sentence and survived; cleaning up; the estimate."""

from __future__ import annotations

import ctypes
import os
import re
import resource
import shutil
import subprocess
import time

import pytest
import torch
from helpers import locked
from processes import Fork, forked
from suite_files import B2N, Here, nothing_stays  # noqa: F401  the fixture

from bench.__main__ import main
from bench.running.state import claim, look, state
from bench.running.trouble import CannotWrite, cannot_write
from bench.running.work import work
from bench.suites.suite import read_suite
from dassl.utils import InputError


@pytest.fixture
def b2n(tiny, tmp_path) -> Here:
    return Here(tmp_path, tiny, [B2N])


def test_half_a_results_file_is_made_again(b2n, capsys):
    (_, coop) = b2n.suite.runs
    assert work(coop).how == "done" and state(coop) == "done" and work(coop).how == "skipped"
    before = b2n.results()
    for number in (0, 1):
        file = coop.folders[number] / "results.json"
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        found = look(coop)
        assert found.state == "pending" and found.notes[0].startswith(f"{file} is damaged")
        assert main(["status", str(b2n.file), "--root", str(b2n.tiny.root)]) == 0
        assert f"{file} is damaged" in capsys.readouterr().out
        outcome = work(coop)
        assert outcome.how == "done" and f"{file} is damaged" in outcome.notes[0]
        assert b2n.results() == before


def test_a_result_that_may_not_be_read_is_kept(b2n, capsys, monkeypatch):
    """It may be whole: nothing is removed, and nothing is run in its place."""
    (_, coop) = b2n.suite.runs
    assert work(coop).how == "done"
    file, before = coop.folders[1] / "results.json", b2n.results()
    with monkeypatch.context() as patch:
        locked(patch, str(file))
        assert main(["status", str(b2n.file), "--root", str(b2n.tiny.root)]) == 2
        said = capsys.readouterr().err
        assert f"{file} cannot be read (Permission denied); make it readable" in said and said.count("\n") == 1
        with pytest.raises(InputError, match="cannot be read"):
            work(coop)
    assert b2n.results() == before and state(coop) == "done"


def test_a_comma_is_no_run(b2n, capsys):
    (_, coop) = b2n.suite.runs
    assert work(coop).how == "done"
    for words in (["clean", "--yes"], ["retry"], ["work"]):
        for ids in (" ,", ""):
            assert main([words[0], str(b2n.file), "--root", str(b2n.tiny.root), *words[1:], "--ids", ids]) == 2
            assert "--ids names no run" in capsys.readouterr().err and state(coop) == "done"
    assert state(b2n.suite.runs[0]) == "pending", "no run was taken for all runs"


def test_a_deleted_checkpoint_is_trained_again(b2n):
    (_, coop) = b2n.suite.runs
    assert work(coop).how == "done"
    before, weights = b2n.results(), coop.folders[0] / "prompt_learner"
    shutil.rmtree(weights)
    assert state(coop) == "done"  # nothing is left to be made from it
    shutil.rmtree(coop.folders[1])
    outcome = work(coop)
    assert outcome.how == "done" and "has lost its checkpoint" in outcome.notes[0] and b2n.results() == before
    shutil.rmtree(coop.folders[1])
    next(weights.glob("model.pth.tar-*")).unlink()  # the file alone; its name is still written beside it
    assert "has lost its checkpoint" in work(coop).notes[0] and b2n.results() == before
    (coop.folders[0] / "results.json").unlink()  # interrupted before its end, and then robbed
    next(weights.glob("model.pth.tar-*")).unlink()
    assert work(coop).how == "done" and b2n.results() == before


def test_clocks_do_not_matter(b2n):
    """Files from tomorrow and from long ago: locks and results say what they say."""
    (zero, coop) = b2n.suite.runs
    assert work(zero).how == "done"
    for when in (time.time() + 10 * 86400, 1e9):
        for file in b2n.out.rglob("*"):
            os.utime(file, (when, when))
        assert state(zero) == "done" and work(zero).how == "skipped" and state(coop) == "pending"
        with claim(coop) as mine:
            assert mine
            os.utime(coop.home / f"{coop.id}.lock", (when, when))
            run = read_suite(b2n.file, root=str(b2n.tiny.root)).runs[1]
            assert forked(lambda: (state(run), work(run).how) != ("running", "elsewhere")) == 0  # noqa: B023
    assert work(coop).how == "done"


@pytest.mark.parametrize("name", ["run", "work"])
def test_a_full_disk_stops_and_blames_no_run(b2n, name):
    """A limit on the size of files, which the resolved config does not fit into."""

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (3_000, 3_000))

    code, text = b2n.finish(*(("--jobs", "1") if name == "run" else ()), name=name, before=small_files)
    assert (
        code == 1
        and "halted" in text
        and f"Cannot write {b2n.suite.runs[0].folders[0]}: the file would be" in text
        and "Traceback" not in text
    ), text
    assert "failed" not in b2n.states().values() and "pending" in b2n.states().values()
    assert not list(b2n.out.rglob("*.tmp")) and [work(run).how for run in b2n.suite.runs] == ["done", "done"]


def test_a_full_disk_is_named(b2n, monkeypatch):
    import runs.folder

    def full(self):
        raise OSError(28, "No space left on device", str(self.config))

    (zero, _) = b2n.suite.runs
    monkeypatch.setattr(runs.folder.RunFolder, "write_config", full)
    outcome = work(zero)
    assert outcome.how == "halted" and outcome.text.startswith(
        f"Cannot write {zero.folders[0]}/config.yaml: the disk is"
    )
    monkeypatch.undo()
    assert state(zero) == "pending" and work(zero).how == "done"


def own_mounts() -> None:
    """What this process mounts from now on is its own, and ends with it."""
    new_mounts = 0x00020000  # CLONE_NEWNS
    if ctypes.CDLL(None, use_errno=True).unshare(new_mounts):
        raise OSError(ctypes.get_errno(), "unshare")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)


@pytest.mark.parametrize("size", [40, 90])
def test_a_disk_that_is_really_full(b2n, size):
    """A file system of so many kB, which is made larger after a first try."""
    out = b2n.out
    out.mkdir()
    if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root")

    def twice() -> None:
        own_mounts()
        for name, options in (("first", f"size={size}k"), ("second", "remount,size=20m")):
            subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(out)], check=True)
            code = main(b2n.arguments("work"))
            print(name, code, *(file.name for file in out.rglob("*")))  # noqa: T201

    text = Fork(twice, keep=True).text()
    assert "first 1" in text and "second 0" in text, text
    assert "the disk is full; make room" in text or "the disk may be full; make room" in text, text
    assert ".failed.json" not in text and ".tmp" not in text and "Traceback" not in text, text


def test_a_checkpoint_that_does_not_fit_is_recognised(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises((OSError, RuntimeError)) as found:
            torch.save(torch.zeros(100_000), tmp_path / "model.pth.tar-1")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert cannot_write(found.value) and str(CannotWrite(found.value, tmp_path)).startswith(
        f"Cannot write {tmp_path}: "
    )
    assert not cannot_write(RuntimeError("CUDA out of memory")) and not cannot_write(FileNotFoundError(2, "no", "x"))


def test_a_folder_that_cannot_be_written(b2n, capsys):
    for where in ("/proc/robustprompt", "/sys/robustprompt"):
        assert main(["run", str(b2n.file), "--output", where, "--jobs", "1"]) == 2
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert error.startswith(f"error: Nothing can be written in {where}/.bench: ") and "--output" in error
        assert main(["status", str(b2n.file), "--output", where]) == 0


def test_results_of_other_settings_are_in_the_way(b2n, tmp_path, capsys):
    (zero, _) = b2n.suite.runs
    assert work(zero).how == "done"
    other = read_suite(b2n.file, root=str(b2n.tiny.root), pairs=("OPTIM.LR", "0.1")).runs[0]
    assert other.id != zero.id and other.folders == zero.folders and "other settings" in look(other).notes[0]
    outcome = work(other)
    assert outcome.how == "failed" and "holds a run with other settings (OPTIM.LR" in outcome.text
    assert state(zero) == "done" and state(other) == "failed"
    pairs = ["--root", str(b2n.tiny.root), "OPTIM.LR", "0.1"]
    assert main(["clean", str(b2n.file), *pairs, "--failed", "--yes"]) == 0  # it removes no folder of another run
    assert "left alone" in capsys.readouterr().err and state(zero) == "done" and state(other) == "pending"


# ---------------------------------------------------------------------- clean


def test_clean_removes_what_is_this_suites(b2n, capsys, monkeypatch):
    zero, coop = b2n.suite.runs
    assert work(zero).how == work(coop).how == "done"
    stranger = b2n.out / "base2new" / "notes.txt"
    stranger.write_text("mine")
    args = ["clean", str(b2n.file), "--root", str(b2n.tiny.root)]
    assert main(args) == 2 and "Say which runs" in capsys.readouterr().err
    monkeypatch.setattr("builtins.input", lambda prompt: "n")
    assert main([*args, "--all"]) == 1 and state(coop) == "done"
    assert main([*args, "--failed"]) == 0 and "nothing to remove" in capsys.readouterr().out
    monkeypatch.setattr("builtins.input", lambda prompt: "y")
    assert main([*args, "--ids", coop.id]) == 0 and state(coop) == "pending" and state(zero) == "done"
    with claim(zero):
        text = b2n.finish("--all", "--yes", name="clean")[1]
        assert "is at work" in text and state(zero) == "done"
    assert main([*args, "--all", "--yes"]) == 0 and not any(
        folder.exists() for folder in (*zero.folders, *coop.folders)
    )
    assert stranger.read_text() == "mine"


def test_plan_estimates_from_what_ran(b2n, capsys):
    zero, coop = b2n.suite.runs
    root = ["--root", str(b2n.tiny.root)]
    assert main(["plan", str(b2n.file), *root]) == 0
    assert re.search(r"base2new +2 +4 +0 +0 +2 +unknown", capsys.readouterr().out)
    assert work(coop).how == "done"
    assert main(["plan", str(b2n.file), *root, "--list", "--seeds", "1", "2"]) == 0
    text = capsys.readouterr().out
    assert f"{coop.id}  done     base2new CoOp digits 4-shot seed 1" in text and coop.command(1) in text
    assert re.search(r"base2new +3 +6 +1 +0 +2 +00:0\d \+ 1 run unknown", text)
