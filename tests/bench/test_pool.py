"""Worker processes, GPUs handed out, and what is seen meanwhile; nothing here imports torch."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from rich.console import Console

import bench
from bench.running.gpus import check_gpus, gpus_of
from bench.running.live import Lines, Table
from bench.running.pool import Pool
from bench.running.time_left import TimeLeft
from dassl.utils import InputError


def about_itself(task: int) -> tuple[int, str | None, int]:
    time.sleep(0.05)
    return task, os.environ.get("CUDA_VISIBLE_DEVICES"), os.getpid()


def dies(task: str) -> str:
    if task == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if task == "asked":
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)
    if task == "quits":
        os._exit(7)
    return task


def sleeps(seconds: float) -> None:
    time.sleep(seconds)


def test_each_worker_has_a_gpu_and_every_task_one_end():
    with Pool(about_itself, 2, ["3", "5"]) as pool:
        events = list(pool.run(range(8)))
    ends = [event for event in events if event.kind == "ended"]
    assert sorted(event.task for event in ends) == list(range(8)) and all(e.value[0] == e.task for e in ends)
    assert [event.task for event in events if event.kind == "started"] == list(range(8))
    assert {(e.worker, e.value[1]) for e in ends} == {(0, "3"), (1, "5")} and len({e.value[2] for e in ends}) == 2


def test_a_dead_worker_is_replaced():
    with Pool(dies, 1) as pool:
        found = [(e.task, e.value) for e in pool.run(["killed", "a", "quits", "b", "asked"]) if e.kind != "started"]
    assert found == [
        ("killed", "the worker process was killed by SIGKILL (not enough memory?)"),
        ("a", "a"),
        ("quits", "the worker process ended with exit code 7"),
        ("b", "b"),
        ("asked", "interrupted"),
    ]


def test_leaving_early_ends_busy_workers():
    with Pool(sleeps, 2) as pool:
        for event in pool.run([0.0, 60.0, 60.0]):
            if event.kind == "ended":
                break
        processes = [worker.process for worker in pool.workers]
    # interrupted, not waited for and not killed: who had slept to the end would be idle, and end with 0
    assert 130 in [process.exitcode for process in processes] and not any(p.is_alive() for p in processes)


def test_what_a_worker_imports_of_its_door():
    """multiprocessing imports the main file again in every worker, where it must not cost the time of pandas."""
    doors = sorted(file.stem for file in Path(bench.__file__).parent.glob("*.py") if not file.stem.startswith("_"))
    code = f"import runpy, sys\nfor name in {doors}: runpy.run_module('bench.' + name, run_name='__mp_main__')\n"
    code += "print([name for name in ('pandas', 'torch', 'numpy') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
    assert "base2new" in doors and "noise" in doors


def test_gpus(monkeypatch, tmp_path):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    assert gpus_of("all") == ["2", "3"] and gpus_of("none") == [""] and gpus_of("0,1") == ["0", "1"]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    smi = tmp_path / "nvidia-smi"
    smi.write_text("#!/bin/sh\necho 'GPU 0: A'\necho 'GPU 1: B'\n")
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert gpus_of("all") == ["0", "1"]
    for wrong, says in (("two", "all, none"), ("0,0", "twice")):
        with pytest.raises(InputError, match=says):
            gpus_of(wrong)
    smi.write_text("#!/bin/sh\necho 'GPU 0: A (UUID: GPU-ab12)'\necho '  MIG 1g.5gb Device 0: (UUID: MIG-cd34)'\n")
    for there in (["0"], ["GPU-ab12"], ["MIG-cd34"], [""], []):
        check_gpus(there)
    for missing in (["7"], ["0", "1"], ["GPU-ffff"], ["MIG-0000"]):
        with pytest.raises(InputError, match="but this machine has 0"):
            check_gpus(missing)
    smi.write_text("#!/bin/sh\nexit 1\n")  # a driver that does not answer
    with pytest.raises(InputError, match="has no GPU"):
        check_gpus(["0"])


def test_what_is_seen(caplog):
    left = TimeLeft(["a", "b", "c"], 1, kind=len, seconds={1: [60.0]})
    assert str(left) == "about 03:00 left"
    table = Table(3, left)
    table.started(0, "run [a]")
    table.ended(0, "a", "run [a]", "failed", 5.0)
    table.started(0, "run b")
    console = Console(width=100, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(table.render())
    text = console.export_text()
    assert "failed" in text and "run [a]" in text and "worker 0" in text
    assert text.splitlines()[-1].strip() == "1 of 3 runs (1 failed), about 02:00 left"
    with caplog.at_level(logging.INFO), Lines(2, TimeLeft(["a", "b"], 1, kind=len)) as board:
        for task, how in (("a", "done"), ("b", "failed")):
            board.started(0, task)
            board.ended(0, task, task, how, 30.0)
    assert caplog.messages[-1] == "2 of 2 runs (1 done, 1 failed), about 00:00 left: failed b, 30 s"
    assert Counter(message.split()[0] for message in caplog.messages) == {"1": 1, "2": 1}
