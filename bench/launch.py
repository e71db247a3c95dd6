"""Many runs side by side: worker processes, a bar with the time left, failures gathered for the end."""

from __future__ import annotations

import contextlib
import io
import logging
import multiprocessing
import os
import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

from tqdm import tqdm

from runs.protocols import PROTOCOLS, Settings

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Step:
    """One run of train.py."""

    protocol: str  # a key of runs.protocols.PROTOCOLS
    method: str
    dataset: str
    seed: int
    settings: Settings

    def run(self) -> int:
        """The exit code."""
        from train import run

        return run(PROTOCOLS[self.protocol](self.method, self.dataset, self.seed, self.settings))

    def __str__(self) -> str:
        shots = f" {self.settings.shots}-shot" if self.protocol == "few_shot" else ""
        return f"{self.protocol} {self.method} {self.dataset}{shots} seed {self.seed}"


Job = tuple[Step, ...]  # runs one after another in one process: the first trains what the others test


def run_step(step: Step) -> str:
    """Runs it; "" or what went wrong. What the run prints is in its own log.txt."""
    screen, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(screen), contextlib.redirect_stderr(errors):
        try:
            code = step.run()
        except Exception as error:  # reported beside the other runs, which go on
            return f"{type(error).__name__}: {error}"
    if code == 130:
        raise KeyboardInterrupt
    return (errors.getvalue().strip().splitlines() or [f"exit code {code}"])[-1] if code else ""


def run_job(job: Job, threads: int) -> tuple[list[tuple[str, str]], float]:
    """([(step, what went wrong)], seconds). Where the first step fails the others are left out."""
    started, failures = time.time(), []
    try:
        import torch

        torch.set_num_threads(threads)
        for number, step in enumerate(job):
            if error := run_step(step):
                failures.append((str(step), error))
                if number == 0:
                    break
    except KeyboardInterrupt:
        os._exit(130)  # else the pool would hand this process the next job
    return failures, time.time() - started


def end_with_parent() -> None:
    """Started in each worker: when the parent is gone, however it ended, so is the worker."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        parent.join()
        os._exit(130)

    threading.Thread(target=watch, daemon=True).start()


class TimeLeft:
    """What the remaining jobs will take: the mean of their kind (protocol, method) where one has run, else of all."""

    def __init__(self, jobs: Sequence[Job], workers: int) -> None:
        self.left, self.workers = list(jobs), workers
        self.seconds: dict[tuple[str, str], list[float]] = defaultdict(list)

    def done(self, job: Job, seconds: float) -> None:
        self.left.remove(job)
        if seconds > 1:  # else it was finished before, and says nothing of the others
            self.seconds[job[0].protocol, job[0].method].append(seconds)

    def __str__(self) -> str:
        if not self.seconds:
            return "time left unknown"
        overall = statistics.fmean(s for kind in self.seconds.values() for s in kind)
        kinds = [self.seconds.get((job[0].protocol, job[0].method)) for job in self.left]
        total = sum(statistics.fmean(kind) if kind else overall for kind in kinds)
        return f"about {tqdm.format_interval(total / self.workers)} left"


def run_all(jobs: Sequence[Job], workers: int) -> list[str]:
    """Runs all jobs, `workers` at a time, each with its share of the cores. Returns the failures, one line each.

    A bar on a terminal, plain lines elsewhere. Finished runs are skipped by train.py itself.
    """
    threads = max(1, (os.cpu_count() or 1) // workers)
    failures: list[str] = []
    left = TimeLeft(jobs, workers)
    context = multiprocessing.get_context("spawn")  # one start-up a worker, not one a run
    total = sum(map(len, jobs))
    form = "{l_bar}{bar}| {n_fmt}/{total_fmt} runs [{elapsed}{postfix}]"
    with (
        ProcessPoolExecutor(workers, mp_context=context, initializer=end_with_parent) as pool,
        tqdm(total=total, bar_format=form, disable=None) as bar,
    ):
        futures = {pool.submit(run_job, job, threads): job for job in jobs}
        finished, last = 0, 0.0
        try:
            for future in as_completed(futures):
                job = futures[future]
                try:
                    errors, seconds = future.result()
                except BrokenProcessPool:
                    failures.append("a worker process was killed (not enough memory?); the same command goes on")
                    break
                left.done(job, seconds)
                failures += [f"{step}: {error}" for step, error in errors]
                finished += len(job)
                bar.set_postfix_str(f"{left}; {job[0]}: {'failed' if errors else f'{seconds:.0f} s'}", refresh=False)
                bar.update(len(job))
                if bar.disable and (time.time() - last > 30 or finished == total):
                    last = time.time()
                    logger.info("%d of %d runs, %s (%s)", finished, total, left, job[0])
        except KeyboardInterrupt:
            pool.shutdown(wait=True, cancel_futures=True)
            failures.append("interrupted; the same command goes on where it stopped")
    return failures
