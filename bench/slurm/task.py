"""Executes a task of a Slurm array: runs `python -m bench work`, and requeues the task if it did not finish.

srun starts this process directly, so that signals for the job reach it without a shell in between; `work` and training
handle them (dassl/engine/preemption.py). submitit's own requeueing is not used: it would also requeue a task that its
owner has cancelled, or whose runs another process has finished.
"""

from __future__ import annotations

import logging
import os
import runpy
import signal
import subprocess
import sys

logger = logging.getLogger(__name__)
MOST = 50  # largest number of times that a task requeues itself, in case its time limit is too short for any progress


def task(arguments: list[str]) -> None:
    """Run `python -m bench` with these arguments. Raises SystemExit with its exit code if that is not 0."""
    if cpus := os.environ.get("SLURM_CPUS_PER_TASK"):
        os.environ.setdefault("OMP_NUM_THREADS", cpus)  # before torch is imported, which would use every core
    logging.getLogger("submitit").propagate = False  # it prints its messages itself
    signal.signal(signal.SIGCONT, signal.SIG_DFL)  # Slurm sends it before SIGTERM; submitit would log a warning
    code = _bench(arguments)
    if code == 130:
        come_back()
    if code:
        sys.exit(code)


def _bench(arguments: list[str]) -> int:
    """The exit code of `python -m bench` with these arguments, in this process."""
    sys.argv = ["bench", *arguments]
    try:
        runpy.run_module("bench", run_name="__main__")
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def come_back() -> None:
    """Requeue this job if Slurm's state for it is still RUNNING.

    That is the case at the time limit, and in the grace time of a preempted job. A job that was cancelled, or that
    Slurm has requeued itself, is in the state COMPLETING.
    """
    job = os.environ.get("SLURM_JOB_ID", "")
    if array := os.environ.get("SLURM_ARRAY_JOB_ID"):
        job = f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}"  # the job id alone may be the array's and mean all tasks
    try:
        state = _ask("squeue", "--noheader", "--jobs", job, "--format=%T")
        if state not in ("RUNNING", "SIGNALING"):  # SIGNALING: Slurm is still sending the warning signal
            logger.info("Job %s is %s: it is left at that.", job, state or "gone")
        elif int(os.environ.get("SLURM_RESTART_COUNT", 0)) >= MOST:
            logger.info("Job %s was put back %d times, which is enough; give it more --time.", job, MOST)
        else:
            logger.info("Job %s goes back into the queue, and on from there.", job)
            _ask("scontrol", "requeue", job)
    except (OSError, subprocess.SubprocessError) as error:
        why = (getattr(error, "stderr", None) or str(error)).strip()
        logger.info("Job %s could not be put back (%s); `python -m bench run` submits what is left.", job, why)


def _ask(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout.strip()
