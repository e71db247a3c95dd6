"""Many runs side by side in worker processes, failures gathered for the end."""

from __future__ import annotations

import contextlib
import io
import os
import time
import traceback
from collections.abc import Hashable, Sequence
from functools import partial

from ..suites.step import Job, Step
from .live import display
from .pool import Pool
from .time_left import TimeLeft
from .trouble import CannotWrite, cannot_write

LAST_LINES = 12  # of an error that are kept


def run_step(step: Step) -> str:
    """Runs it; "" or the last lines of what went wrong. What the run prints is in its own log.txt.

    Raises KeyboardInterrupt where it was interrupted, and CannotWrite where nothing can be written any more.
    """
    screen, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(screen), contextlib.redirect_stderr(errors):
        try:
            code = step.run()
        except Exception as error:  # reported beside the other runs, which go on
            if cannot_write(error):
                raise CannotWrite(error) from error
            return _last_lines(traceback.format_exc())
    if code == 130:
        raise KeyboardInterrupt
    if code:
        from dassl.utils.ends import no_room  # it brings torch in

        if error := no_room(errors.getvalue()):
            raise CannotWrite(error)
    return (_last_lines(errors.getvalue()) or f"exit code {code}") if code else ""


def _last_lines(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-LAST_LINES:])


def run_job(job: Job, threads: int) -> tuple[list[tuple[str, str]], float]:
    """([(step, what went wrong)], seconds). Where the first step fails the others are left out."""
    started, failures = time.time(), []
    limit_threads(threads)
    for number, step in enumerate(job):
        try:
            error = run_step(step)
        except CannotWrite as trouble:
            error = str(trouble)
        if error:
            failures.append((str(step), error.splitlines()[-1]))
            if number == 0:
                break
    return failures, time.time() - started


def limit_threads(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)


def kind_of(job: Job) -> Hashable:
    """Jobs of one kind take about as long as each other."""
    return job[0].protocol, job[0].method


def run_all(jobs: Sequence[Job], workers: int) -> list[str]:
    """Runs all jobs, `workers` at a time, each with its share of the cores. Returns the failures, one line each.

    A live table on a terminal, plain lines elsewhere. Finished runs are skipped by train.py itself.
    """
    failures: list[str] = []
    work = partial(run_job, threads=threads_each(workers))
    board = display(sum(map(len, jobs)), TimeLeft(jobs, workers, kind_of))
    with board, Pool(work, min(workers, len(jobs) or 1)) as pool:
        try:
            for event in pool.run(jobs):
                name, size = str(event.task[0]), len(event.task)
                if event.kind == "started":
                    board.started(event.worker, name)
                elif event.kind == "died":
                    failures.append(f"{name}: {event.value}; the same command goes on")
                    board.ended(event.worker, event.task, name, "failed", 0.0, size)
                else:
                    errors, seconds = event.value
                    failures += [f"{step}: {error}" for step, error in errors]
                    board.ended(event.worker, event.task, name, "failed" if errors else "done", seconds, size)
        except KeyboardInterrupt:
            failures.append("interrupted; the same command goes on where it stopped")
    return failures


def threads_each(workers: int) -> int:
    """The cores, shared among so many workers."""
    return max(1, (os.cpu_count() or 1) // workers)
