"""Running a suite on this machine: workers, two at once, Ctrl-C, SIGKILL at any moment, failures, trouble on disk."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from suite_files import B2N, PATIENCE, Here, nothing_stays, wait_for  # noqa: F401  the fixture

from bench.__main__ import main
from bench.running.state import state
from bench.running.work import work

LONG = os.environ.get("ROBUSTPROMPT_LONG_TESTS") == "1"
KILLS = 20 if LONG else 3


# ---------------------------------------------------------------------- workers


def test_two_runs_at_once_share_the_work(tiny, tmp_path):
    here = Here(tmp_path, tiny, [B2N | {"methods": ["ZeroshotCLIP", "CoOp", "KgCoOp"]}], seeds=[1, 2])
    both = [here.start("--jobs", "1") for _ in range(2)]
    texts = [process.text() for process in both]
    assert set(here.states().values()) == {"done"}, texts
    assert len(here.results()) == 2 * (1 + 2 * 2)
    # a run that is begun a second time puts the first one's log aside
    assert not list(here.out.rglob("log.txt-*"))
    code, text = here.finish()
    assert code == 0 and "5 done, 0 failed before, 0 at work elsewhere, 0 to do" in text


def test_a_dead_worker_costs_its_run_alone(tiny, tmp_path, capsys):
    here = Here(tmp_path, tiny, [B2N | {"methods": ["CoOp", "KgCoOp"]}], epochs=20)
    process = here.start("--jobs", "1")
    wait_for(lambda: list(here.out.rglob("log.txt")), process)
    (worker,) = _children(process.pid)
    os.kill(int(worker), signal.SIGKILL)
    text = process.text()
    assert process.returncode == 1 and "killed by SIGKILL (not enough memory?)" in text
    assert sorted(here.states().values()) == ["done", "failed"]
    assert main(["status", str(here.file), "--root", str(tiny.root)]) == 0
    shown = capsys.readouterr().out
    assert "1 done, 1 failed" in shown and "killed by SIGKILL" in shown and "python train.py --root" in shown
    args = [str(here.file), "--root", str(tiny.root)]
    assert main(["run", *args]) == 1 and "failed" in here.states().values()  # failed runs are left alone
    assert main(["retry", *args]) == 0
    assert "1 failure forgotten" in capsys.readouterr().out
    assert main(["retry", *args]) == 0 and "nothing to retry" in capsys.readouterr().out
    assert here.finish()[0] == 0 and set(here.states().values()) == {"done"}


def test_failures_are_kept_with_the_command_that_repeats_them(tiny, tmp_path, capsys):
    lost = {"protocol": "few_shot", "methods": ["ZeroshotCLIP", "CoOp"], "datasets": ["dtd"], "cfg": "embedded"}
    here = Here(tmp_path, tiny, [lost], overrides={})
    code, text = here.finish("--jobs", "1")
    assert code == 1 and text.count("does not exist") == 2
    zero, coop = here.suite.runs
    args = [str(here.file), "--root", str(tiny.root)]
    assert main(["status", *args]) == 0
    shown = capsys.readouterr().out
    assert "2 failed" in shown and f"{coop.id}  failed" in shown
    line = next(line.strip() for line in shown.splitlines() if "--trainer CoOp" in line)
    again = f"{sys.executable} {line.removeprefix('python ')}"
    found = subprocess.run(again, shell=True, capture_output=True, text=True)
    assert found.returncode == 2 and found.stderr.strip().splitlines()[-1] in shown
    assert main(["retry", *args, "--ids", coop.id]) == 0
    assert [state(run) for run in (zero, coop)] == ["failed", "pending"]


# ---------------------------------------------------------------------- interruptions


@pytest.fixture(scope="module")
def long_suite(tiny, tmp_path_factory):
    """What is to be interrupted, and what it ends with if it is not."""
    methods = ["CoOp", "TCP", "KgCoOp", "MaPLe"] if LONG else ["CoOp", "TCP"]
    block = {"protocol": "base2new", "methods": methods, "datasets": ["digits"], "shots": 4}

    def build(name: str) -> Here:
        folder = tmp_path_factory.mktemp(name)
        pairs = {"TRAIN.CHECKPOINT_FREQ": 1}
        return Here(folder, tiny, [block | {"overrides": pairs}], epochs=25, seeds=[1, 2])

    whole, threads = build("whole"), torch.get_num_threads()
    assert [work(run, threads=1).how for run in whole.suite.runs] == ["done"] * len(whole.suite.runs)
    torch.set_num_threads(threads)
    return build, whole.results()


def test_ctrl_c_leaves_everything_to_go_on_with(long_suite):
    build, expected = long_suite
    here = build("ctrl_c")
    process = here.start("--jobs", "2")
    wait_for(lambda: list(here.out.rglob("checkpoint")), process)
    os.killpg(process.pid, signal.SIGINT)
    text = process.text()
    assert process.returncode == 130 and "interrupted" in text
    assert "Traceback" not in text and "resource_tracker" not in text, text
    logs = [file.read_text() for file in here.out.rglob("log.txt")]
    assert any(re.search(r"SIGTERM: stopped after epoch \d+, which is saved", log) for log in logs)
    assert set(here.states().values()) <= {"pending", "done"} and "pending" in here.states().values()
    assert not list((here.out / ".bench").glob("*.failed.json"))
    assert here.finish("--jobs", "2")[0] == 0 and here.results() == expected


def test_sigterm_stops_work(long_suite):
    """What a cluster's scheduler does to `python -m bench work`."""
    build, expected = long_suite
    here = build("sigterm")
    process = here.start("--ids", ",".join(run.id for run in here.suite.runs), name="work")
    wait_for(lambda: list(here.out.rglob("checkpoint")), process)
    os.kill(process.pid, signal.SIGTERM)
    text = process.text()
    assert process.returncode == 130 and "Traceback" not in text
    assert "pending" in here.states().values() and "running" not in here.states().values()
    assert here.finish(name="work")[0] == 0 and here.results() == expected


def test_killed_at_random_moments(long_suite):
    """SIGKILL to the whole process group, again and again: nothing is lost, nothing doubled, and the table is the same.

    ROBUSTPROMPT_LONG_TESTS=1: twenty times, a minute or two.
    """
    build, expected = long_suite
    here, draws = build("killed"), random.Random(20)
    # by turns from the start of the command, and from when a run is at work
    moments = [(round(draws.uniform(0.0, 4.0 if i % 4 == 3 else 0.6), 2), i % 4 == 3) for i in range(KILLS)]
    print("seconds until each kill, from the start:", moments)  # noqa: T201
    seen: dict[str, int] = {}
    at_work = 0
    for moment, from_start in moments:
        process = here.start("--jobs", "2")
        if not from_start:
            wait_for(here.at_work_or_done, process, over=True)
        time.sleep(moment)
        at_work += "running" in here.states().values()
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for file, stamp in seen.items():
            assert Path(file).stat().st_mtime_ns == stamp, f"{file} was made a second time"
        seen |= {str(file): file.stat().st_mtime_ns for file in here.out.rglob("results.json")}
        wait_until_dead(here)
        assert "running" not in here.states().values()
    print(f"{at_work} of {KILLS} while runs were at work")  # noqa: T201
    assert at_work >= KILLS // 2
    assert here.finish("--jobs", "2")[0] == 0
    assert here.results() == expected
    assert set(here.states().values()) == {"done"}


def wait_until_dead(here: Here) -> None:
    """The workers are in the killed group, but the kernel may need a moment."""
    end = time.monotonic() + PATIENCE
    while "running" in here.states().values() and time.monotonic() < end:
        time.sleep(0.1)


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
