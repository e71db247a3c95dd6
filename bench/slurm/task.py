"""What a task of a Slurm array executes: `python -m bench work`, and then whether it has to come back.

The task is the process that srun starts, so that signals for the job reach it without a shell in between; `work` and
training answer them (dassl/engine/preemption.py). Nothing of submitit's own requeueing is used: it would put a task
back that its owner has cancelled, or that another process finishes meanwhile.
"""

from __future__ import annotations

import logging
import os
import runpy
import signal
import subprocess
import sys

logger = logging.getLogger(__name__)
MOST = 50  # times that a task puts itself back; a limit that is too short for any progress has to end some time


def task(arguments: list[str]) -> None:
    """arguments: of `python -m bench`. Raises SystemExit with its exit code where that is not 0."""
    if cpus := os.environ.get("SLURM_CPUS_PER_TASK"):
        os.environ.setdefault("OMP_NUM_THREADS", cpus)  # before torch: it would take every core of the node
    logging.getLogger("submitit").propagate = False  # it prints for itself
    signal.signal(signal.SIGCONT, signal.SIG_DFL)  # comes before each SIGTERM; submitit would warn of it
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
    """Puts this job back into the queue if Slurm still takes it for running.

    That is so at the end of its time, and while a preempted job has its grace. When it was cancelled, or requeued
    already, Slurm has decided, and the job is `COMPLETING` by now.
    """
    job = os.environ.get("SLURM_JOB_ID", "")
    if array := os.environ.get("SLURM_ARRAY_JOB_ID"):
        job = f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}"  # one task's job id is the array's, and means all of it
    try:
        state = _ask("squeue", "--noheader", "--jobs", job, "--format=%T")
        if state not in ("RUNNING", "SIGNALING"):  # the second: the warning is still on its way
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
