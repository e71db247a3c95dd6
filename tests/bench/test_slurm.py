"""What of the Slurm launcher needs no Slurm: options, packing, what is handed to sbatch, what squeue says.

tests/slurm/test_cluster.py has the rest, on a real one.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import pytest
from suite_files import write_suite

from bench.__main__ import build_parser, main
from bench.running.state import claim, state
from bench.slurm import arrays as slurm
from bench.slurm import queue as slurm_queue
from bench.slurm import task as slurm_task
from bench.slurm.options import read_options
from bench.slurm.pack import pack
from bench.suites.options import chosen_runs, open_suite
from bench.suites.suite import read_suite
from dassl.utils import InputError

BLOCKS = [
    {"name": "zero", "protocol": "base2new", "methods": ["ZeroshotCLIP"], "datasets": ["digits"]},
    {"protocol": "base2new", "methods": ["CoOp", "KgCoOp"], "datasets": ["digits"], "seeds": [1, 2], "shots": 4},
]


@pytest.fixture
def file(tiny, tmp_path) -> Path:
    return write_suite(tmp_path / "s.yaml", tiny, BLOCKS, slurm={"time": "01:00:00", "gres": "gpu:1"})


@pytest.fixture
def suite(file, tiny):
    return read_suite(file, root=str(tiny.root))


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """Shell scripts that stand first in PATH, in Slurm's place; each appends its arguments to calls.txt."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def write(name: str, body: str) -> None:
        script = folder / name
        script.write_text(f'#!/bin/sh\necho "{name} $*" >>{tmp_path}/calls.txt\n{body}\n')
        script.chmod(0o755)

    return write


# ---------------------------------------------------------------------- options


@pytest.mark.parametrize(
    "text, minutes",
    [("90", 90), ("07:30", 8), ("04:00:00", 240), ("00:05:01", 6), ("2-0", 2880), ("1-02:30", 1590), ("1-0:0:1", 1441)],
)
def test_times_are_read_as_slurm_does(text, minutes):
    assert read_options({"time": text}, {}, "s.yaml").minutes == minutes


@pytest.mark.parametrize(
    "block, line, words",
    [
        ({}, {}, "Slurm has to know how long a task may take: --time 04:00:00"),
        ({"time": "soon"}, {}, "s.yaml, slurm, time: 'soon' is no time"),
        ({"time": "4"}, {}, "too short"),
        ({"time": 14400}, {}, "put the time in quotes"),
        ({"time": "10", "partion": "gpu"}, {}, "s.yaml, slurm: partion is no option; did you mean partition?"),
        ({"time": "10", "zzz": "gpu"}, {}, "there are time, partition, account"),
        ({"time": "10", "mem": "lots"}, {}, "s.yaml, slurm, mem: 'lots' is no size"),
        ({"time": "10", "gres": "gpu:1 gpu:2"}, {}, "s.yaml, slurm, gres: 'gpu:1 gpu:2' is no value; write one word"),
        ({"time": "10", "partition": True}, {}, "partition: True is no value"),
        ({"time": "10", "cpus": 0}, {}, "s.yaml, slurm, cpus: 0 is no count"),
        ({"time": "10"}, {"pack": "2.5"}, "--pack: '2.5' is no count"),
        ({"time": "10", "setup": {"a": 1}}, {}, "s.yaml, slurm, setup: must be shell lines"),
    ],
)
def test_wrong_options_are_one_sentence(block, line, words):
    with pytest.raises(InputError) as error:
        read_options(block, line, "s.yaml")
    assert words in str(error.value) and "\n" not in str(error.value)


def test_the_command_line_wins():
    block = {"time": "10", "mem": "4G", "cpus": 2, "setup": "module load python"}
    found = read_options(block, {"mem": "8G", "partition": "gpu", "pack": "3"}, "s.yaml")
    assert found.texts == {"partition": "gpu", "mem": "8G"}
    assert (found.cpus, found.pack, found.setup) == (2, 3, ("module load python",))


def test_without_slurm_one_sentence(file, tiny, monkeypatch, capsys):
    monkeypatch.setenv("PATH", "/nowhere")
    root = ["--root", str(tiny.root)]
    assert main(["run", str(file), *root, "--launcher", "slurm"]) == 2
    assert "error: There is no sbatch on this machine" in capsys.readouterr().err
    assert main(["run", str(file), *root, "--partition", "gpu"]) == 2
    assert "error: --partition is for --launcher slurm" in capsys.readouterr().err
    assert not (file.parent / "out").exists()


# ---------------------------------------------------------------------- packing


def test_packed_by_count(suite):
    runs = suite.runs
    assert len(runs) == 5
    assert pack(runs, {}, 60, 2) == [tuple(runs[:2]), tuple(runs[2:4]), tuple(runs[4:])]


def test_packed_by_what_earlier_runs_took(suite):
    zero, *rest = suite.runs
    seconds = {("base2new", "CoOp", 2): [500.0, 700.0]}  # ten minutes each; of the others nothing is known
    tasks = pack(suite.runs, seconds, 120)
    assert [run for task in tasks for run in task] == suite.runs
    alone = [task for task in tasks if task[0].method != "CoOp"]
    assert all(len(task) == 1 for task in alone) and len(alone) == 3
    coop = [run for run in rest if run.method == "CoOp"] * 3
    assert [len(task) for task in pack(coop, seconds, 120)] == [3, 3]  # half an hour is full
    assert [len(task) for task in pack(coop, seconds, 41)] == [2, 2, 2]  # so is half of the limit
    assert [len(task) for task in pack(coop, seconds, 5)] == [1] * 6  # longer than that: alone


def test_runs_that_are_trained_at_once_come_into_one_task(suite):
    """Two stacks of two seeds; the test without training is alone, as is all without --stack."""
    zero, *rest = suite.runs
    stacks = [tuple(run for run in rest if run.method == method) for method in ("CoOp", "KgCoOp")]
    for count, tasks in {1: [(zero,), *stacks], 2: [(zero,), *stacks], 3: [(zero, *stacks[0]), stacks[1]]}.items():
        assert pack(suite.runs, {}, 60, count, stack=2) == tasks
    seconds = {run: [600.0] for run in (("base2new", "CoOp", 2), ("base2new", "KgCoOp", 2))}
    assert pack(rest, seconds, 120, stack=2) == stacks  # twenty minutes each
    assert pack(rest, seconds, 120, stack=1) == [tuple(rest[:3]), tuple(rest[3:])]


# ---------------------------------------------------------------------- what a task gets, and what it does


def test_a_task_means_the_same_suite(file, tiny):
    """With pairs and seeds of the command line; the pairs must not be taken for seeds."""
    argv = [str(file), "--root", str(tiny.root), "OPTIM.LR", "0.1", "--seeds", "3", "5"]
    suite = open_suite(build_parser("run")[1].parse_intermixed_args(argv))
    name, *arguments = slurm._arguments(suite, suite.runs[1:3])
    args = build_parser(name)[1].parse_intermixed_args(arguments)
    assert chosen_runs(open_suite(args), args) == suite.runs[1:3]


def test_submits_what_is_left_and_remembers_it(suite, file, tiny, programs, capsys, caplog, tmp_path):
    caplog.set_level("INFO")
    programs("srun", "")
    programs(
        "sbatch",
        f"cp $1 {tmp_path}/script.sh; echo Submitted batch job $((76 + $(grep -c ^sbatch {tmp_path}/calls.txt)))",
    )
    programs("scontrol", "echo 'MaxArraySize = 1001'")
    programs("squeue", "echo '77_0 PENDING s'; echo '77_1 RUNNING s'; echo '77_2 RUNNING another'")
    argv = ["run", str(file), "--root", str(tiny.root), "--launcher", "slurm", "--pack", "2", "--cpus", "3"]
    with claim(suite.runs[0]):  # which another process has
        assert main(argv) == 0
    script = (tmp_path / "script.sh").read_text()
    assert "Submitted job 77: 2 tasks, 4 runs" in caplog.text
    for line in ("array=0-1%2", "gres=gpu:1", "time=60", "requeue", "signal=USR1@60", "job-name=s", "cpus-per-task=3"):
        assert f"#SBATCH --{line}\n" in script
    assert "srun --unbuffered" in script and " --cpus-per-task=3 " in script and "wckey" not in script
    noted = json.loads((suite.home / "slurm" / "runs-77.json").read_text())["tasks"]
    assert noted == {f"77_{i}": [run.id for run in suite.runs[2 * i + 1 : 2 * i + 3]] for i in (0, 1)}

    caplog.clear()
    assert main(argv) == 0 and "4 at work or in the queue, 1 to submit" in caplog.text  # the claimed one
    capsys.readouterr()
    programs("squeue", "echo '77_0 PENDING s'; echo '77_1 RUNNING another'; echo '78 RUNNING s'")
    assert main(["status", str(file), "--root", str(tiny.root), "--all"]) == 0
    shown = capsys.readouterr().out
    assert (
        "Of those pending, Slurm has 1 in tasks RUNNING, 2 in tasks PENDING." in shown
        and "given to tasks that are over" in shown
    )
    assert f"{suite.runs[3].id}  in Slurm task 77_1 which is over" in shown
    programs("squeue", "exit 1")
    assert main(["status", str(file), "--root", str(tiny.root)]) == 0
    assert "squeue does not answer here" in capsys.readouterr().out


def test_large_suites_are_several_arrays(suite, programs, tmp_path, file, tiny):
    programs("srun", "")
    programs("sbatch", f"n=$(grep -c ^sbatch {tmp_path}/calls.txt); echo Submitted batch job $n")
    programs("scontrol", "echo 'MaxArraySize            = 3'")
    argv = ["run", str(file), "--root", str(tiny.root), "--launcher", "slurm", "--pack", "1"]
    assert main(argv) == 0
    found = slurm_queue.queue(suite)
    assert found is None  # squeue is not there
    notes = [json.loads((suite.home / "slurm" / f"runs-{n}.json").read_text())["tasks"] for n in (1, 2, 3)]
    assert [list(tasks) for tasks in notes] == [["1_0", "1_1"], ["2_0", "2_1"], ["3"]]
    assert sorted(id for tasks in notes for ids in tasks.values() for id in ids) == sorted(r.id for r in suite.runs)


def test_damaged_notes_are_passed_over(suite, programs):
    programs("squeue", "echo '5 RUNNING s'")
    folder = suite.home / "slurm"
    folder.mkdir(parents=True)
    (folder / "runs-4.json").write_text('{"tasks": {"4"')
    for job in ("5", "6"):
        (folder / f"runs-{job}.json").write_text(json.dumps({"tasks": {job: [suite.runs[0].id]}}))
    assert slurm_queue.queue(suite)[suite.runs[0].id].task == "5"  # the one that is not over


@pytest.mark.parametrize(
    "state_there, restarts, comes_back",
    [
        ("RUNNING", 0, True),
        ("SIGNALING", 3, True),
        ("COMPLETING", 0, False),
        ("", 0, False),
        ("RUNNING", slurm_task.MOST, False),
    ],
)
def test_a_task_that_was_stopped_comes_back_if_it_is_wanted(
    programs, monkeypatch, tmp_path, state_there, restarts, comes_back
):
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    monkeypatch.setenv("SLURM_RESTART_COUNT", str(restarts))
    programs("squeue", f"echo {state_there}")
    programs("scontrol", "")
    for name in ("12", "12_3"):  # alone; of an array, where 12 would mean all tasks
        if name == "12_3":
            monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "12")
            monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
        (tmp_path / "calls.txt").unlink(missing_ok=True)
        slurm_task.come_back()
        calls = (tmp_path / "calls.txt").read_text().splitlines()
        assert calls[0] == f"squeue --noheader --jobs {name} --format=%T"
        assert (f"scontrol requeue {name}" in calls) == comes_back


@pytest.mark.filterwarnings("ignore:'bench.__main__' found")  # this process has imported it before
def test_a_task_ends_with_the_code_of_its_work(suite, file, tiny, monkeypatch, programs, tmp_path, caplog):
    caplog.set_level("INFO")
    before = {
        number: signal.getsignal(number) for number in (signal.SIGCONT, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
    }
    monkeypatch.setattr(sys, "argv", sys.argv)  # the task sets its own
    monkeypatch.setattr("bench.running.stacking.work", lambda run, threads: (_ for _ in ()).throw(KeyboardInterrupt))
    programs("squeue", "echo 'slurm is away' >&2; exit 1")
    try:
        with pytest.raises(SystemExit) as ended:
            slurm_task.task(slurm._arguments(suite, suite.runs[:1]))
        assert ended.value.code == 130 and "could not be put back (slurm is away)" in caplog.text
        with pytest.raises(SystemExit) as ended:
            slurm_task.task(["work", "nowhere.yaml"])
        assert ended.value.code == 2
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert state(suite.runs[0]) == "pending" and "torch" in sys.modules
