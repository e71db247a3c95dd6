"""Submits the runs of a suite as tasks of Slurm arrays, through submitit. docs/cluster.md describes its use."""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock

from dassl.utils import InputError
from dassl.utils.counted import counted

from ..running.estimate import seconds_of
from ..running.sharing import in_turn
from ..running.state import survey
from ..running.trouble import check_writable
from ..suites.suite import Run, Suite
from .options import WARNING, SlurmOptions, given, read_options
from .pack import pack
from .queue import FOLDER, Queued, note, queue
from .task import task

logger = logging.getLogger(__name__)
LARGEST = 1000  # tasks of an array if Slurm's MaxArraySize is unknown; its default is 1001
SETTLE = 60.0  # longest time in seconds that a task takes to end: more than Slurm's KillWait
EVERY = 5.0  # seconds between checks with --wait


def submit(suite: Suite, args: argparse.Namespace) -> int:
    """Submit the runs that are neither done, nor running, nor queued. Returns the exit code; with --wait 1 unless all
    runs are done.

    Raises InputError for wrong options, on a machine without Slurm, and if sbatch refuses the jobs.
    """
    options = read_options(suite.slurm, given(args), suite.file)
    if not shutil.which("sbatch") or not shutil.which("srun"):
        raise InputError(
            "There is no sbatch on this machine; log in to the cluster's submission node, or use --launcher local."
        )
    check_writable(suite.home / FOLDER)
    with FileLock(suite.home / FOLDER / ".lock"):  # a second command must see the jobs of the first in the queue
        _submit_rest(suite, options, args.stack)
    if args.wait:
        return _wait(suite)
    logger.info("How it goes: python -m bench status %s", suite.file)
    return 0


def _submit_rest(suite: Suite, options: SlurmOptions, stack: int) -> None:
    waiting = {name for name, own in _settled(suite).items() if own.state}
    found = survey(suite.runs)
    todo = in_turn([run for run in suite.runs if found[run.id].state == "pending" and run.id not in waiting])
    states = [each.state for each in found.values()]
    logger.info(
        "%s: %s, %d done, %d failed before, %d at work or in the queue, %d to submit",
        suite.name, counted(len(states), "run"), states.count("done"), states.count("failed"),
        len(states) - states.count("done") - states.count("failed") - len(todo), len(todo),
    )  # fmt: skip
    tasks = pack(todo, seconds_of(suite.runs, found), options.minutes, options.pack, stack)
    largest = _largest() if tasks else LARGEST
    for i in range(0, len(tasks), largest):
        part = tasks[i : i + largest]
        jobs = _send(suite, part, options, stack)
        note(suite, jobs, part)
        counts = counted(len(part), "task"), counted(sum(map(len, part)), "run")
        logger.info("Submitted job %s: %s, %s", jobs[0].partition("_")[0], *counts)
    if tasks:
        logger.info("Logs of the tasks: %s/*_log.out", suite.home / FOLDER)


def _settled(suite: Suite) -> dict[str, Queued]:
    """The queue, read when no task is in the state COMPLETING, since such a task may end or be requeued."""
    end = time.monotonic() + SETTLE
    while True:
        queued = queue(suite) or {}
        if time.monotonic() > end or not any(own.state == "COMPLETING" for own in queued.values()):
            return queued
        time.sleep(1)


def _send(suite: Suite, tasks: Sequence[Sequence[Run]], options: SlurmOptions, stack: int) -> list[str]:
    """Submit one array. Returns the names of its tasks, such as 12_0."""
    import submitit

    folder = suite.home / FOLDER
    there = set(folder.iterdir())
    executor = submitit.SlurmExecutor(folder=folder)
    executor.update_parameters(**_parameters(suite.name, options))
    try:
        # One call of sbatch, whose messages are in the error. Only the name of a function and texts are pickled.
        with contextlib.redirect_stderr(io.StringIO()), executor.batch():
            sent = [executor.submit(task, _arguments(suite, runs, stack)) for runs in tasks]
    except (submitit.core.utils.FailedJobError, submitit.core.utils.FailedSubmissionError) as error:
        for file in set(folder.iterdir()) - there:
            file.unlink()
        raise InputError(f"sbatch refused the jobs: {_reason(str(error))}") from error
    return [job.job_id for job in sent]


def _arguments(suite: Suite, runs: Sequence[Run], stack: int = 1) -> list[str]:
    at_once = ["--stack", str(stack)] if stack > 1 else []
    return ["work", str(suite.file), *suite.options, *at_once, "--ids", ",".join(run.id for run in runs)]


def _parameters(name: str, options: SlurmOptions) -> dict[str, object]:
    """The parameters of submitit's executor."""
    extra = {
        # Without "B:" the signal goes to the step that srun starts, not to the shell, which would not pass it on.
        # SIGTERM of preemption and scancel goes to the same processes and is handled in the same way.
        "signal": f"USR1@{WARNING}",
        "requeue": True,  # after preemption or a node's failure; at its time limit a task requeues itself
        "chdir": str(Path.cwd()),  # relative paths of the suite and command line start from this folder
        **options.texts,
    }
    found: dict[str, object] = {
        "job_name": name,
        "time": options.minutes,
        "array_parallelism": options.parallel,
        "stderr_to_stdout": True,
        "wckey": None,  # a cluster that checks such keys would refuse submitit's default
        "additional_parameters": extra,
    }
    if options.cpus:
        # since Slurm 22.05 srun does not take the number of CPUs from sbatch
        found |= {"cpus_per_task": options.cpus, "srun_args": [f"--cpus-per-task={options.cpus}"]}
    if options.setup:
        found["setup"] = list(options.setup)
    return found


def _reason(text: str) -> str:
    """The messages of sbatch as one sentence, without the prefix "sbatch: error:"."""
    lines = [re.sub(r"^sbatch: (error: |fatal: )?", "", line).strip() for line in text.splitlines() if line.strip()]
    return f"{'; '.join(line.rstrip('.') for line in lines) or 'it gave no reason'}."


def _largest() -> int:
    try:
        shown = subprocess.run(["scontrol", "show", "config"], capture_output=True, text=True, timeout=20).stdout
    except (OSError, subprocess.SubprocessError):
        return LARGEST
    match = re.search(r"^MaxArraySize\s*=\s*(\d+)", shown, re.MULTILINE)
    return max(1, int(match[1]) - 1) if match else LARGEST


def _wait(suite: Suite) -> int:
    """Wait until all runs are done or failed, or the rest is no longer in the queue. Returns the exit code."""
    last, alone = "", 0
    try:
        while True:
            found, queued = survey(suite.runs), queue(suite)
            states = [each.state for each in found.values()]
            left = [run.id for run in suite.runs if found[run.id].state in ("pending", "running")]
            inside = [queued[name].state for name in left if queued and name in queued and queued[name].state]
            line = f"{states.count('done')} of {counted(len(states), 'run')} done, {states.count('failed')} failed"
            line += f", {inside.count('RUNNING')} in tasks at work, {len(inside) - inside.count('RUNNING')} queued"
            if line != last:
                logger.info("%s", line)
            last = line
            # a task that has just ended or was requeued may briefly be missing from both
            alone = 0 if inside or queued is None or "running" in states else alone + 1
            if not left or alone == 3:
                break
            time.sleep(EVERY)
    except KeyboardInterrupt:
        print("No longer waiting; the jobs go on (scancel ends them).", file=sys.stderr)  # noqa: T201
        return 130
    if states.count("done") < len(states):
        logger.info("Not all is done: python -m bench status %s", suite.file)
        return 1
    return 0
