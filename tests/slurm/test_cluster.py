"""A real Slurm of one node: an array is submitted, its tasks requeued, cancelled and killed, and the table is the same.

Skipped, with the reason, where Slurm is not installed or cannot start. SLURM_TEST_INSTALL=1 installs Debian's packages.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest
import yaml
from cluster import CPUS, CannotStart, Cluster, install, processes, why_not

from bench.__main__ import main
from bench.reading.aggregate import aggregate
from bench.reading.collect import collect
from bench.running.state import survey
from bench.suites.suite import Run, read_suite

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 400  # seconds for one thing to happen, on a machine whose cores are taken by others
# Of two runs with the same numbers these differ: times, and the folder of what was tested, which is a setting.
OWN = ["seconds", "peak_memory_bytes", "finished", "settings_hash"]


def blocks() -> list[dict]:
    """Long runs, which are to be caught at work, and short ones in turn: a task of two runs has one of each."""
    long = [
        {"name": f"long {seed}", "protocol": "few_shot", "methods": ["CoOp"], "seeds": [seed]} for seed in (1, 2, 3)
    ]
    short = [
        {"name": f"short {seed} {method}", "protocol": "base2new", "methods": [method], "seeds": [seed]}
        for method, seed in (("ZeroshotCLIP", 1), ("CoOp", 1), ("CoOp", 2))
    ]
    for epochs, each in ((30, long[0]), (30, long[1]), (70, long[2]), *((1, block) for block in short)):
        each |= {"datasets": ["digits"], "shots": 4, "overrides": {"OPTIM.MAX_EPOCH": epochs}}
    return [block for pair in zip(long, short, strict=True) for block in pair]


@pytest.fixture(scope="module")
def cluster():
    try:
        if os.environ.get("SLURM_TEST_INSTALL") == "1" and why_not().endswith("SLURM_TEST_INSTALL=1)"):
            install()
        if reason := why_not():
            pytest.skip(reason)
        started = Cluster().__enter__()
    except CannotStart as error:
        pytest.skip(f"Slurm cannot start here: {error}")
    try:
        yield started
    finally:
        started.stop()


@pytest.fixture
def bench(cluster, tmp_path, monkeypatch, capsys, caplog):
    """Makes a suite whose commands run in this process, as if it were on the cluster's submission node."""
    monkeypatch.setenv("SLURM_CONF", str(cluster.conf))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # sums of floats depend on it
    monkeypatch.chdir(ROOT)
    caplog.set_level("INFO")

    def make(name: str) -> Bench:
        return Bench(tmp_path, name, lambda: (capsys.readouterr(), caplog.text, caplog.clear()))

    return make


class Bench:
    """`python -m bench` on one suite. The data is made once, by the local run."""

    def __init__(self, folder: Path, name: str, said: Callable) -> None:
        self.root, self.out, self.said = folder / "data", folder / name, said
        self.file = folder / f"{name}.yaml"
        overrides = {"TRAIN.ROLLING_SECONDS": 0, "TRAIN.TENSORBOARD": False}
        slurm = {"time": "00:10:00", "cpus": 1, "mem": "1G"}
        tree = {"output": str(self.out), "slurm": slurm, "overrides": overrides, "blocks": blocks()}
        self.file.write_text(yaml.safe_dump(tree))
        self.runs = read_suite(self.file, root=str(self.root)).runs

    def __call__(self, name: str, *options: str, code: int = 0) -> str:
        """What it printed."""
        self.said()
        found = main([name, str(self.file), "--root", str(self.root), *options])
        (out, err), log, _ = self.said()
        assert found == code, out + err + log
        return out + err + log

    def states(self) -> dict[str, str]:
        return {name: found.state for name, found in survey(self.runs).items()}

    def task_of(self, run: Run) -> str:
        """The task that it was given to last."""
        notes = sorted(self.home.glob("runs-*.json"), key=lambda file: int(file.stem.partition("-")[2]))
        tasks = [item for file in notes for item in json.loads(file.read_text())["tasks"].items()]
        return [task for task, ids in tasks if run.id in ids][-1]

    def log_of(self, task: str) -> str:
        return (self.home / f"{task}_0_log.out").read_text()

    @property
    def home(self) -> Path:
        return self.out / ".bench" / "slurm"


def wait_for(what: str, condition: Callable, seconds: float = PATIENCE):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"{what}: it never came to that"
        time.sleep(0.1)
    return found


def epochs_done(run: Run) -> int:
    """What its last checkpoint holds; 0 without one."""
    with suppress(OSError, ValueError, StopIteration):
        return int(next(run.folders[0].glob("*/checkpoint")).read_text().rpartition("-")[2])
    return 0


def logs(run: Run) -> str:
    return "".join(file.read_text() for file in sorted(run.folders[0].glob("log.txt*")))


def process_of(cluster: Cluster, task: str) -> int:
    """The Python process that srun started for it."""
    job, number = task.split("_")
    marks = {f"SLURM_ARRAY_JOB_ID={job}".encode(), f"SLURM_ARRAY_TASK_ID={number}".encode(), b"SLURM_PROCID=0"}
    for pid in processes(cluster.folder):
        with suppress(OSError):
            environment = set(Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"))
            if marks <= environment and b"submitit.core._submit" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
    return 0


def table(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(every result, over the seeds)."""
    frame = collect(folder).drop(columns=OWN).sort_values("folder", ignore_index=True)
    return frame, aggregate(frame)


def test_preempted_requeued_cancelled_and_killed_tasks_end_with_the_same_table(cluster, bench):
    local, far = bench("local"), bench("far")
    assert "6 runs" in local("run", "--jobs", str(os.cpu_count()), "--gpus", "none")

    assert "Submitted job 1: 3 tasks, 6 runs" in far("run", "--launcher", "slurm", "--pack", "2")
    assert "0 to submit" in far("run", "--launcher", "slurm")  # they are in the queue
    assert "Of those pending, Slurm has " in far("status")
    # the job id of the last task is the array's own
    cancelled, killed, requeued = [run for run in far.runs if run.block.startswith("long")]
    tasks = [far.task_of(run) for run in (requeued, cancelled, killed)]
    left = {
        requeued: lambda: cluster.run("scancel", "--signal=USR1", tasks[0]),  # a minute before its time is up
        cancelled: lambda: cluster.run("scancel", tasks[1]),
        killed: lambda: os.kill(process_of(cluster, tasks[2]), signal.SIGKILL),
    }
    end = time.monotonic() + PATIENCE
    while left:
        for run in [run for run in left if epochs_done(run)]:
            assert far.states()[run.id] == "running"
            left.pop(run)()
        assert time.monotonic() < end, "a checkpoint: it never came to that"
        time.sleep(0.1)

    wait_for("a task that puts itself back", lambda: "goes back into the queue" in far.log_of(tasks[0]))
    before = epochs_done(requeued)
    assert f"SIGUSR1: stopped after epoch {before}, which is saved" in logs(requeued)

    wait_for("more epochs", lambda: epochs_done(requeued) > before)
    cluster.run("scontrol", "requeue", tasks[0])
    wait_for("the end of a requeued task", lambda: "it is left at that" in far.log_of(tasks[0]))
    before = epochs_done(requeued)
    wait_for("the end of the others", lambda: not {*tasks[1:]} & {*cluster.jobs()})
    assert [far.states()[run.id] for run in (cancelled, killed)] == ["pending", "pending"]
    for task, run in ((tasks[0], requeued), (tasks[1], cancelled)):
        assert "it is left at that" in far.log_of(task) and "SIGTERM: stopped after epoch" in logs(run)
    shown = far("status", "--all")
    assert "3 were given to tasks that are over" in shown and f"{killed.id}  in Slurm task {tasks[2]}" in shown

    wait_for("more epochs", lambda: epochs_done(requeued) > before)
    cluster.run("srun", "--partition=high", f"--ntasks={CPUS}", "true")  # it takes the place of what runs
    wait_for("a task that puts itself back", lambda: far.log_of(tasks[0]).count("goes back into the queue") == 2)
    last = far("run", "--launcher", "slurm", "--pack", "4", "--wait")
    assert "1 task, 3 runs" in last and "6 of 6 runs done, 0 failed" in last
    assert set(far.states().values()) == {"done"}
    assert [logs(run).count("will resume training") for run in (requeued, cancelled, killed)] == [3, 1, 1]

    for mine, theirs in zip(table(far.out), table(local.out), strict=True):
        pd.testing.assert_frame_equal(mine, theirs, check_exact=True)
    assert len(table(local.out)[0]) == 1 * 2 + 2 * 2 + 3


def test_what_sbatch_refuses_is_one_sentence_and_leaves_nothing(cluster, bench):
    refused = bench("refused")
    text = refused("run", "--launcher", "slurm", "--partition", "nowhere", code=2)
    assert "error: sbatch refused the jobs: " in text and text.count("nowhere") == 1
    assert [file.name for file in refused.home.iterdir() if file.name != ".lock"] == []
    assert "refused" not in cluster.run("squeue", "--noheader", "--format=%j")


def test_nothing_is_left_when_the_tests_are_killed(cluster):
    """A second cluster, whose process is killed while a job runs."""
    text = "from cluster import *; c = Cluster().__enter__(); print(c.folder)\n"
    text += "c.run('sbatch', '--output=/dev/null', '--wrap', 'sleep 600')\n"
    text += "while 'RUNNING' not in c.jobs().values(): time.sleep(0.1)\nprint('running', flush=True); time.sleep(600)"
    process = subprocess.Popen(
        [sys.executable, "-c", text], cwd=ROOT / "tests/slurm", stdout=subprocess.PIPE, text=True
    )
    folder = Path(process.stdout.readline().strip())
    assert process.stdout.readline() == "running\n" and len(processes(folder)) >= 4
    process.kill()
    process.wait()
    wait_for("the guard's work", lambda: not folder.exists())
    assert processes(folder) == []
