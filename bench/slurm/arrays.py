"""Runs of a suite as tasks of Slurm arrays, through submitit. docs/cluster.md tells how it is used."""

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

from ..running.estimate import seconds_of
from ..running.state import survey
from ..running.trouble import check_writable
from ..suites.suite import Run, Suite
from .options import WARNING, SlurmOptions, given, read_options
from .pack import pack
from .queue import FOLDER, Queued, note, queue
from .task import task

logger = logging.getLogger(__name__)
LARGEST = 1000  # tasks of an array, where Slurm does not say: its own default is one more
SETTLE = 60.0  # seconds at most that a task takes to end: Slurm's KillWait, and some more
EVERY = 5.0  # seconds between looks, with --wait


def submit(suite: Suite, args: argparse.Namespace) -> int:
    """Submits what is not done, nor at work or waiting already. The exit code; with --wait: 1 if not all is done.

    Raises InputError for wrong options, for a machine without Slurm, and for what sbatch refuses.
    """
    options = read_options(suite.slurm, given(args), suite.file)
    if not shutil.which("sbatch") or not shutil.which("srun"):
        raise InputError(
            "There is no sbatch on this machine; log in to the cluster's submission node, or use --launcher local."
        )
    check_writable(suite.home / FOLDER)
    with FileLock(suite.home / FOLDER / ".lock"):  # of two at once, the second finds in the queue what the first sent
        _submit_rest(suite, options)
    if args.wait:
        return _wait(suite)
    logger.info("How it goes: python -m bench status %s", suite.file)
    return 0


def _submit_rest(suite: Suite, options: SlurmOptions) -> None:
    waiting = {name for name, own in _settled(suite).items() if own.state}
    found = survey(suite.runs)
    todo = [run for run in suite.runs if found[run.id].state == "pending" and run.id not in waiting]
    states = [each.state for each in found.values()]
    logger.info(
        "%s: %d runs, %d done, %d failed before, %d at work or in the queue, %d to submit",
        suite.name, len(states), states.count("done"), states.count("failed"),
        len(states) - states.count("done") - states.count("failed") - len(todo), len(todo),
    )  # fmt: skip
    tasks = pack(todo, seconds_of(suite.runs, found), options.minutes, options.pack)
    largest = _largest() if tasks else LARGEST
    for i in range(0, len(tasks), largest):
        part = tasks[i : i + largest]
        jobs = _send(suite, part, options)
        note(suite, jobs, part)
        logger.info("Submitted job %s: %d tasks, %d runs", jobs[0].partition("_")[0], len(part), sum(map(len, part)))
    if tasks:
        logger.info("Logs of the tasks: %s/*_log.out", suite.home / FOLDER)


def _settled(suite: Suite) -> dict[str, Queued]:
    """The queue, once no task is just ending: whether it is over or comes back is seen only then."""
    end = time.monotonic() + SETTLE
    while True:
        queued = queue(suite) or {}
        if time.monotonic() > end or not any(own.state == "COMPLETING" for own in queued.values()):
            return queued
        time.sleep(1)


def _send(suite: Suite, tasks: Sequence[Sequence[Run]], options: SlurmOptions) -> list[str]:
    """One array. Returns the tasks' names, such as 12_0."""
    import submitit

    folder = suite.home / FOLDER
    there = set(folder.iterdir())
    executor = submitit.SlurmExecutor(folder=folder)
    executor.update_parameters(**_parameters(suite.name, options))
    try:
        # One sbatch, whose words come with the error. What is pickled is the name of a function, and texts.
        with contextlib.redirect_stderr(io.StringIO()), executor.batch():
            sent = [executor.submit(task, _arguments(suite, runs)) for runs in tasks]
    except (submitit.core.utils.FailedJobError, submitit.core.utils.FailedSubmissionError) as error:
        for file in set(folder.iterdir()) - there:
            file.unlink()
        raise InputError(f"sbatch refused the jobs: {_reason(str(error))}") from error
    return [job.job_id for job in sent]


def _arguments(suite: Suite, runs: Sequence[Run]) -> list[str]:
    return ["work", str(suite.file), *suite.options, "--ids", ",".join(run.id for run in runs)]


def _parameters(name: str, options: SlurmOptions) -> dict[str, object]:
    """Of submitit's executor."""
    extra = {
        # Without "B:" it goes to the step that srun starts, not to the shell around it, which would not pass it on.
        # SIGTERM, of preemption and scancel, goes to the same processes and is answered in the same way.
        "signal": f"USR1@{WARNING}",
        "requeue": True,  # after preemption or a node's failure; at the end of its time a task asks for it itself
        "chdir": str(Path.cwd()),  # paths of the suite and of the command line mean what they mean here
        **options.texts,
    }
    found: dict[str, object] = {
        "job_name": name,
        "time": options.minutes,
        "array_parallelism": options.parallel,
        "stderr_to_stdout": True,
        "wckey": None,  # submitit's own would be refused where such keys have to be known
        "additional_parameters": extra,
    }
    if options.cpus:
        # srun no longer takes it from sbatch, from Slurm 22.05 on
        found |= {"cpus_per_task": options.cpus, "srun_args": [f"--cpus-per-task={options.cpus}"]}
    if options.setup:
        found["setup"] = list(options.setup)
    return found


def _reason(text: str) -> str:
    """sbatch's own words, without its name; it may say several things, the last of which sums up."""
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
    """Until all runs are done or failed, or none of the rest is in the queue any more."""
    last, alone = "", 0
    try:
        while True:
            found, queued = survey(suite.runs), queue(suite)
            states = [each.state for each in found.values()]
            left = [run.id for run in suite.runs if found[run.id].state in ("pending", "running")]
            inside = [queued[name].state for name in left if queued and name in queued and queued[name].state]
            line = f"{states.count('done')} of {len(states)} runs done, {states.count('failed')} failed"
            line += f", {inside.count('RUNNING')} in tasks at work, {len(inside) - inside.count('RUNNING')} queued"
            if line != last:
                logger.info("%s", line)
            last = line
            # one that has just ended, or is just put back, may be in neither place for a moment
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
